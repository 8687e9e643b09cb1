//! The operator, without the controllers that would make pods of what it writes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::agents;
use crate::machines::api::{Patch, core, path, text};
use crate::machines::stories::world::World;

const GROUP: &str = "/apis/operator.tigera.io/v1";
const SET: &str = "/apis/apps/v1/namespaces/calico-system/daemonsets/calico-node";
const INSTALLATION: &str = "/apis/operator.tigera.io/v1/installations/default";

async fn kind(world: &World, group: &str, plural: &str, kind: &str) {
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Cluster",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {
                "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            }}],
        },
    });
    world.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd).await.unwrap();
}

async fn operator() -> World {
    let programs = agents::programs().and(crate::controllers::programs());
    let world = World::running(programs).initialised().await;
    for (plural, name) in [
        ("installations", "Installation"),
        ("apiservers", "APIServer"),
        ("goldmanes", "Goldmane"),
        ("whiskers", "Whisker"),
        ("tigerastatuses", "TigeraStatus"),
    ] {
        kind(&world, "operator.tigera.io", plural, name).await;
    }
    kind(&world, "crd.projectcalico.org", "ippools", "IPPool").await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tigera-operator"}});
    world.api.create(&core("", "namespaces", ""), &namespace).await.unwrap();
    world
        .grant("default", "default", json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]))
        .await;
    let pod = json!({"spec": {
        "hostNetwork": true, "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "o", "image": "quay.io/tigera/operator:v1.38.6", "command": ["operator"]}],
    }});
    world.start_pod("operator", "cp1", pod).await;
    world
}

async fn make(world: &World, plural: &str, kind: &str, spec: Value) {
    let object = json!({"apiVersion": "operator.tigera.io/v1", "kind": kind, "metadata": {"name": "default"}, "spec": spec});
    world.api.create(&format!("{GROUP}/{plural}"), &object).await.unwrap();
}

fn pools(cidr: &str) -> Value {
    json!({"calicoNetwork": {"ipPools": [{"cidr": cidr, "encapsulation": "VXLANCrossSubnet", "natOutgoing": "Enabled"}]}})
}

async fn there(world: &World, path: &str) {
    for _ in 0..240 {
        if world.api.find(path).await.unwrap().is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("no {path}; the operator said: {:?}", world.published("cp1", "tigera-operator/error"));
}

#[tokio::test(start_paused = true)]
async fn an_installation_becomes_calico_and_edits_do_not_last() {
    let world = operator().await;
    make(&world, "installations", "Installation", pools("192.168.0.0/17")).await;
    there(&world, SET).await;
    let installation = world.api.get(INSTALLATION).await.unwrap();
    assert_eq!(installation["spec"]["variant"], "Calico");
    assert!(
        installation["metadata"]["finalizers"]
            .as_array()
            .unwrap()
            .contains(&json!("tigera.io/operator-cleanup"))
    );
    let set = world.api.get(SET).await.unwrap();
    assert_eq!(set["metadata"]["ownerReferences"][0]["kind"], "Installation");
    assert_eq!(set["spec"]["template"]["spec"]["containers"][0]["image"], "docker.io/calico/node:v3.30.3");
    let pool = world.api.get("/apis/crd.projectcalico.org/v1/ippools/default-ipv4-ippool").await.unwrap();
    assert_eq!(pool["spec"]["vxlanMode"], "CrossSubnet");

    // A selector by hand goes; the Installation's own stays.
    let edit = json!({"spec": {"template": {"spec": {"nodeSelector": {"old": "true"}}}}});
    world.api.patch(SET, Patch::Merge, &edit).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let selector =
        || async { world.api.get(SET).await.unwrap()["spec"]["template"]["spec"]["nodeSelector"].clone() };
    assert_eq!(selector().await, json!({"kubernetes.io/os": "linux"}));
    let own = json!({"spec": {"calicoNodeDaemonSet": edit}});
    world.api.patch(INSTALLATION, Patch::Merge, &own).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(selector().await, json!({"kubernetes.io/os": "linux", "old": "true"}));

    // What is deleted comes back.
    world.api.delete(SET, &json!({})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    there(&world, SET).await;
    let account = core("calico-system", "serviceaccounts", "calico-cni-plugin");
    let uid = world.api.get(&account).await.unwrap()["metadata"]["uid"].clone();
    world.api.delete(&account, &json!({})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_ne!(world.api.get(&account).await.unwrap()["metadata"]["uid"], uid);
}

#[tokio::test(start_paused = true)]
async fn without_calicos_api_server_pools_stay_and_without_an_open_pool_the_operator_stands_still() {
    let world = operator().await;
    make(&world, "installations", "Installation", pools("192.168.0.0/16")).await;
    there(&world, SET).await;
    let mut closed = pools("192.168.0.0/16");
    closed["calicoNetwork"]["ipPools"][0]["disableNewAllocations"] = json!(true);
    world.api.patch(INSTALLATION, Patch::Merge, &json!({"spec": closed})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let pool = "/apis/crd.projectcalico.org/v1/ippools/default-ipv4-ippool";
    assert_eq!(world.api.get(pool).await.unwrap()["spec"]["disabled"], false);
    assert_eq!(
        degraded(&world, "ippools").await,
        "Unable to modify IP pools while Calico API server is unavailable"
    );

    world.api.patch(pool, Patch::Merge, &json!({"spec": {"disabled": true}})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(degraded(&world, "calico").await, "waiting for enabled IP pools to be created");
    let edit = json!({"spec": {"calicoNodeDaemonSet": {"spec": {"template": {"spec": {"nodeSelector": {"old": "true"}}}}}}});
    world.api.patch(INSTALLATION, Patch::Merge, &edit).await.unwrap();
    world.api.delete(INSTALLATION, &json!({})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let set = world.api.get(SET).await.unwrap();
    assert_eq!(set["spec"]["template"]["spec"]["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
    assert!(world.api.find(INSTALLATION).await.unwrap().is_some());
    world.api.patch(pool, Patch::Merge, &json!({"spec": {"disabled": false}})).await.unwrap();
    world.until("the end", || async { world.api.find(INSTALLATION).await.unwrap().is_none() }).await;
}

async fn degraded(world: &World, component: &str) -> String {
    let status = world.api.get(&format!("{GROUP}/tigerastatuses/{component}")).await.unwrap();
    let conditions = status["status"]["conditions"].as_array().unwrap();
    let degraded = conditions.iter().find(|condition| condition["type"] == "Degraded").unwrap();
    assert_eq!(degraded["status"], "True", "{status}");
    text(degraded, "/message").to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_idle_operator_writes_nothing() {
    let world = operator().await;
    make(&world, "installations", "Installation", pools("192.168.0.0/16")).await;
    make(&world, "apiservers", "APIServer", json!({})).await;
    there(&world, "/apis/apiregistration.k8s.io/v1/apiservices/v3.projectcalico.org").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    world.server.requests().clear();
    let path = core("", "namespaces", "default");
    world.api.patch(&path, Patch::Merge, &json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let ours = |request: &crate::server::Request| &*request.client == "default/operator";
    assert!(world.server.requests().count(ours) > 20, "the change is looked into");
    let writes = world.server.requests().select(|request| ours(request) && request.is_write());
    assert!(writes.is_empty(), "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pool_outside_kubeadms_network_stops_the_operator() {
    let world = operator().await;
    make(&world, "installations", "Installation", pools("10.77.0.0/16")).await;
    let path = format!("{GROUP}/tigerastatuses/ippools");
    there(&world, &path).await;
    assert!(degraded(&world, "ippools").await.contains("10.77.0.0/16 is not within"));
    assert!(world.api.find(SET).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_installation_goes_after_its_parts() {
    let world = operator().await;
    make(&world, "installations", "Installation", pools("192.168.0.0/16")).await;
    for (plural, kind) in [("apiservers", "APIServer"), ("goldmanes", "Goldmane"), ("whiskers", "Whisker")] {
        make(&world, plural, kind, json!({})).await;
    }
    for (namespace, name) in [
        ("calico-apiserver", "calico-apiserver"),
        ("calico-system", "goldmane"),
        ("calico-system", "whisker"),
    ] {
        there(&world, &path("/apis/apps/v1", namespace, "deployments", name)).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let installation = world.api.get(INSTALLATION).await.unwrap();
    let finalizers: Vec<&str> =
        installation["metadata"]["finalizers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(finalizers.contains(&"operator.tigera.io/whisker-controller"), "{finalizers:?}");
    let account = core("calico-system", "serviceaccounts", "calico-cni-plugin");
    let kept = world.api.get(&account).await.unwrap();
    assert_eq!(kept["metadata"]["finalizers"], json!(["tigera.io/cni-protector"]));

    // Alone it does not go, and what the network rests on stays.
    world.api.delete(INSTALLATION, &json!({})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let whisker = path("/apis/apps/v1", "calico-system", "deployments", "whisker");
    assert!(world.api.find(&whisker).await.unwrap().is_some());
    let controllers = path("/apis/apps/v1", "calico-system", "deployments", "calico-kube-controllers");
    assert!(world.api.find(&controllers).await.unwrap().is_none());
    assert!(world.api.find(SET).await.unwrap().is_some());

    for plural in ["whiskers", "goldmanes", "apiservers"] {
        world.api.delete(&format!("{GROUP}/{plural}/default"), &json!({})).await.unwrap();
    }
    world.until("the end", || async { world.api.find(INSTALLATION).await.unwrap().is_none() }).await;
    assert!(world.api.find(SET).await.unwrap().is_none());
    world.until("the account's end", || async { world.api.find(&account).await.unwrap().is_none() }).await;
    // Pools have no owner.
    assert_eq!(world.api.list("/apis/crd.projectcalico.org/v1/ippools").await.unwrap().0.len(), 1);
}
