//! Owners and dependents, namespaces, accounts and tokens.

use super::world::{World, workload};
use crate::controllers::objects::{condition, condition_status, controller_reference, text};
use crate::schema::Resource;
use crate::schema::builtin::{
    API_SERVICES, CERTIFICATE_SIGNING_REQUESTS, CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS,
    NAMESPACES, NODES, PODS, REPLICA_SETS, SECRETS, SERVICE_ACCOUNTS,
};
use crate::server::{DeleteOptions, Propagation, Subresource};
use base64::Engine as _;
use serde_json::{Value, json};

fn delete(world: &World, propagation: Propagation) {
    let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
    world.direct.delete(&DEPLOYMENTS, "default", "web", options).unwrap();
}

async fn deployed() -> World {
    let world = World::new(&["n1"]);
    world.make(&DEPLOYMENTS, "web", workload("web", 2));
    world.until("two pods", |world| world.status(&DEPLOYMENTS, "web")["availableReplicas"] == 2).await;
    world
}

fn sets(world: &World) -> usize {
    world.direct.list(&REPLICA_SETS, Some("default")).len()
}

#[tokio::test(start_paused = true)]
async fn dependents_go_after_before_or_not_at_all() {
    let world = deployed().await;
    delete(&world, Propagation::Background);
    assert!(world.get(&DEPLOYMENTS, "web").is_none());
    world.until("nothing left", |world| sets(world) == 0 && world.pods("web").is_empty()).await;

    let world = deployed().await;
    delete(&world, Propagation::Foreground);
    assert!(world.get(&DEPLOYMENTS, "web").is_some());
    world
        .until("its end", |world| {
            let pods = world.direct.list(&PODS, Some("default")).len();
            assert!(sets(world) >= usize::from(pods > 0), "pods outlive their set");
            world.get(&DEPLOYMENTS, "web").is_none()
        })
        .await;
    assert_eq!((sets(&world), world.direct.list(&PODS, Some("default")).len()), (0, 0));

    let world = deployed().await;
    delete(&world, Propagation::Orphan);
    world.until("its end", |world| world.get(&DEPLOYMENTS, "web").is_none()).await;
    world.rest(10).await;
    assert_eq!((sets(&world), world.pods("web").len()), (1, 2));
    let set = &world.direct.list(&REPLICA_SETS, Some("default"))[0];
    assert!(set["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty));
}

#[tokio::test(start_paused = true)]
async fn what_two_own_goes_with_the_second_and_what_nobody_ever_owned_at_once() {
    let world = World::new(&[]);
    let owner = |name: &str| world.create(&NODES, json!({"metadata": {"name": name}}));
    let references: Vec<Value> = ["a", "b"]
        .iter()
        .map(|name| {
            let mut reference = controller_reference(&NODES, &owner(name));
            reference["controller"] = json!(false);
            reference
        })
        .collect();
    let map = json!({"metadata": {"name": "shared", "namespace": "default", "ownerReferences": references}});
    world.create(&CONFIG_MAPS, map);
    world.delete(&NODES, "a");
    world.rest(5).await;
    let shared = world.get(&CONFIG_MAPS, "shared").unwrap();
    assert_eq!(shared["metadata"]["ownerReferences"].as_array().map(Vec::len), Some(1));
    world.delete(&NODES, "b");
    world.until("its end", |world| world.get(&CONFIG_MAPS, "shared").is_none()).await;
    let dangling = json!({"apiVersion": "v1", "kind": "Node", "name": "c", "uid": "0"});
    let map = json!({"metadata": {"name": "stray", "namespace": "default", "ownerReferences": [dangling]}});
    world.create(&CONFIG_MAPS, map);
    world.until("its end", |world| world.get(&CONFIG_MAPS, "stray").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn custom_kinds_own_and_are_owned() {
    let world = World::new(&[]);
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": schema});
    let crd = json!({
        "metadata": {"name": "ships.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "versions": [version],
            "names": {"plural": "ships", "singular": "ship", "kind": "Ship", "listKind": "ShipList"},
        },
    });
    world.create(&CUSTOM_RESOURCE_DEFINITIONS, crd);
    let ships = Resource::new("example.com", "v1", "ships", "Ship", false);
    let ship = world
        .create(&ships, json!({"apiVersion": "example.com/v1", "kind": "Ship", "metadata": {"name": "a"}}));
    let reference = controller_reference(&ships, &ship);
    let map = json!({"metadata": {"name": "plank", "namespace": "default", "ownerReferences": [reference]}});
    world.create(&CONFIG_MAPS, map);
    world.rest(5).await;
    assert!(world.get(&CONFIG_MAPS, "plank").is_some());
    world.delete(&CUSTOM_RESOURCE_DEFINITIONS, "ships.example.com");
    world.until("its end", |world| world.get(&CONFIG_MAPS, "plank").is_none()).await;
}

fn namespace(world: &World, name: &str) {
    world.create(&NAMESPACES, json!({"metadata": {"name": name}}));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_gets_its_account_and_goes_with_all_it_holds() {
    let world = World::new(&["n1"]);
    let public = json!({"clusters": [{"cluster": {"certificate-authority-data": "Y2VydGlmaWNhdGU="}}]});
    let published = json!({
        "metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": public.to_string()},
    });
    world.create(&CONFIG_MAPS, published);
    namespace(&world, "shop");
    world
        .until("its account", |world| world.direct.get(&SERVICE_ACCOUNTS, "shop", "default").is_some())
        .await;
    let authority = world.direct.get(&CONFIG_MAPS, "shop", "kube-root-ca.crt").expect("the cluster's CA");
    assert_eq!(authority["data"]["ca.crt"], "certificate");
    let mut spec = workload("web", 2);
    spec["template"]["spec"]["terminationGracePeriodSeconds"] = json!(5);
    world.create(&DEPLOYMENTS, json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}));
    world.until("its pods", |world| world.direct.list(&PODS, Some("shop")).len() == 2).await;
    let held = json!({"metadata": {"name": "held", "namespace": "shop", "finalizers": ["example.com/mine"]}});
    world.create(&CONFIG_MAPS, held);
    world.direct.delete(&NAMESPACES, "", "shop", DeleteOptions::default()).unwrap();
    world.rest(30).await;
    let shop = world.direct.get(&NAMESPACES, "", "shop").unwrap();
    let message = |kind: &str| condition(&shop, kind).map_or("", |one| text(one, "/message"));
    assert_eq!(
        message("NamespaceContentRemaining"),
        "Some resources are remaining: configmaps has 1 resource instances"
    );
    assert_eq!(
        message("NamespaceFinalizersRemaining"),
        "Some content in the namespace has finalizers remaining: example.com/mine in 1 resource instances"
    );
    let free = json!({"metadata": {"finalizers": null}});
    world.direct.merge_patch(&CONFIG_MAPS, "shop", "held", Subresource::None, free).unwrap();
    world.until("its end", |world| world.direct.get(&NAMESPACES, "", "shop").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_hangs_while_an_api_is_silent() {
    let world = World::new(&[]);
    let spec = json!({
        "group": "metrics.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
        "service": {"namespace": "default", "name": "nobody"},
    });
    world.create(&API_SERVICES, json!({"metadata": {"name": "v1.metrics.example.com"}, "spec": spec}));
    namespace(&world, "shop");
    world.rest(2).await;
    world.direct.delete(&NAMESPACES, "", "shop", DeleteOptions::default()).unwrap();
    world.rest(120).await;
    let shop = world.direct.get(&NAMESPACES, "", "shop").unwrap();
    assert_eq!(condition_status(&shop, "NamespaceDeletionDiscoveryFailure"), "True");
    world.delete(&API_SERVICES, "v1.metrics.example.com");
    world.until("its end", |world| world.direct.get(&NAMESPACES, "", "shop").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_bootstrap_token_goes_when_its_time_is_over() {
    let world = World::with_flags(&[], &[("controllers", "*,bootstrapsigner,tokencleaner")]);
    let until = base64::engine::general_purpose::STANDARD.encode("2026-01-05T08:10:00Z");
    let secret = json!({
        "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token", "data": {"expiration": until},
    });
    world.create(&SECRETS, secret);
    let there = |world: &World| world.direct.get(&SECRETS, "kube-system", "bootstrap-token-abcdef").is_some();
    world.rest(590).await;
    assert!(there(&world));
    world.rest(15).await;
    assert!(!there(&world));
}

#[tokio::test(start_paused = true)]
async fn a_serving_certificate_waits_for_its_approval() {
    let world = World::new(&[]);
    let spec = json!({
        "request": "eA==", "signerName": "kubernetes.io/kubelet-serving", "usages": ["server auth"],
    });
    world.make(&CERTIFICATE_SIGNING_REQUESTS, "csr-1", spec);
    world.rest(10).await;
    assert!(world.status(&CERTIFICATE_SIGNING_REQUESTS, "csr-1")["certificate"].is_null());
    let mut request = (*world.get(&CERTIFICATE_SIGNING_REQUESTS, "csr-1").unwrap()).clone();
    request["status"]["conditions"] = json!([{"type": "Approved", "status": "True", "reason": "Mine"}]);
    world.direct.put(&CERTIFICATE_SIGNING_REQUESTS, Subresource::Approval, request).unwrap();
    world
        .until("its certificate", |world| {
            !world.status(&CERTIFICATE_SIGNING_REQUESTS, "csr-1")["certificate"].is_null()
        })
        .await;
}
