//! The story that the order of a migration rests on: what happens to pods when Calico goes first.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{World, condition};
use crate::machines::MachineRole;
use crate::machines::api::{core, text};

const GROUP: &str = "/apis/crd.projectcalico.org/v1";
const CONF: &str = "/etc/cni/net.d/10-calico.conflist";

/// Calico's part of the API and of one host, without any agent.
async fn install_calico(world: &World, host: &str) {
    for (plural, kind) in [
        ("clusterinformations", "ClusterInformation"),
        ("ippools", "IPPool"),
        ("ipamblocks", "IPAMBlock"),
        ("ipamhandles", "IPAMHandle"),
        ("blockaffinities", "BlockAffinity"),
    ] {
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.crd.projectcalico.org")},
            "spec": {
                "group": "crd.projectcalico.org", "scope": "Cluster",
                "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }}}],
            },
        });
        world.api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &crd).await.unwrap();
    }
    world
        .until("Calico's kinds", || async {
            world.api.get(&format!("{GROUP}/blockaffinities")).await.is_ok()
        })
        .await;
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "crd.projectcalico.org/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let information = object("ClusterInformation", "default", json!({"datastoreReady": true}));
    world.api.create(&format!("{GROUP}/clusterinformations"), &information).await.unwrap();
    let pool = object("IPPool", "default-ipv4-ippool", json!({"cidr": "192.168.0.0/16", "blockSize": 26}));
    world.api.create(&format!("{GROUP}/ippools"), &pool).await.unwrap();
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "calico-cni-plugin"}});
    world.api.create(&core("kube-system", "serviceaccounts", ""), &account).await.unwrap();
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "calico-cni-plugin"},
        "rules": [
            {"apiGroups": ["crd.projectcalico.org"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
        ],
    });
    world.api.create(&format!("{rbac}/clusterroles"), &role).await.unwrap();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "calico-cni-plugin"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "calico-cni-plugin"},
        "subjects": [{"kind": "ServiceAccount", "name": "calico-cni-plugin", "namespace": "kube-system"}],
    });
    world.api.create(&format!("{rbac}/clusterrolebindings"), &binding).await.unwrap();
    write_credentials(world, host).await;
    let conf = json!({"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [
        {
            "type": "calico", "ipam": {"type": "calico-ipam"}, "datastore_type": "kubernetes", "nodename": host,
            "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"},
        },
        {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}},
    ]});
    for plugin in ["calico", "calico-ipam"] {
        world.write(host, &format!("/opt/cni/bin/{plugin}"), "");
    }
    world.write(host, CONF, &conf.to_string());
}

async fn write_credentials(world: &World, host: &str) {
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400},
    });
    let path = format!("{}/token", core("kube-system", "serviceaccounts", "calico-cni-plugin"));
    let token = world.api.create(&path, &request).await.unwrap();
    let token = text(&token, "/status/token").to_owned();
    let config = json!({"apiVersion": "v1", "kind": "Config", "users": [{"name": "calico", "user": {"token": token}}]});
    world.write(host, "/etc/cni/net.d/calico-kubeconfig", &config.to_string());
}

async fn worker_with_calico() -> World {
    let world = World::with_control_plane().await;
    world.join("w1", MachineRole::Worker).await;
    world.node("w1").await;
    install_calico(&world, "w1").await;
    world.until("w1 Ready", || async { condition(&world.node("w1").await, "Ready") == "True" }).await;
    world
}

async fn remove_calico_naively(world: &World) {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let none = json!({});
    world.api.delete(&format!("{rbac}/clusterrolebindings/calico-cni-plugin"), &none).await.unwrap();
    world.api.delete(&core("kube-system", "serviceaccounts", "calico-cni-plugin"), &none).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn addresses_come_from_blocks_and_go_back_to_them() {
    let world = worker_with_calico().await;
    for name in ["a", "b"] {
        world.start_pod(name, "w1", json!({})).await;
        world.ready(name).await;
    }
    let (blocks, _) = world.api.list(&format!("{GROUP}/ipamblocks")).await.unwrap();
    assert_eq!(blocks.len(), 1);
    assert_eq!(text(&blocks[0], "/spec/affinity"), "host:w1");
    let block = text(&blocks[0], "/spec/cidr");
    let first = block.strip_suffix("/26").expect("the default size");
    assert!(first.starts_with("192.168."), "{first} is of the pool");
    assert_eq!(blocks[0]["metadata"]["name"], block.replace(['.', '/'], "-"));
    let a = world.pod("default", "a").await.unwrap();
    assert_eq!(text(&a, "/status/podIP"), first);
    assert_eq!(a["metadata"]["annotations"]["cni.projectcalico.org/podIP"], format!("{first}/32"));
    let (affinities, _) = world.api.list(&format!("{GROUP}/blockaffinities")).await.unwrap();
    assert_eq!(text(&affinities[0], "/spec/state"), "confirmed");
    world.api.delete(&core("default", "pods", "a"), &json!({})).await.unwrap();
    world.until("a's end", || async { world.pod("default", "a").await.is_none() }).await;
    let (handles, _) = world.api.list(&format!("{GROUP}/ipamhandles")).await.unwrap();
    assert_eq!(handles.len(), 1);
    let block =
        world.api.get(&format!("{GROUP}/ipamblocks/{}", text(&blocks[0], "/metadata/name"))).await.unwrap();
    assert_eq!(block["spec"]["attributes"].as_array().unwrap().len(), 1);

    // A disabled pool gives nothing any more.
    let closed = json!({"spec": {"disabled": true}});
    let path = format!("{GROUP}/ippools/default-ipv4-ippool");
    world.api.patch(&path, crate::machines::api::Patch::Merge, &closed).await.unwrap();
    world.start_pod("c", "w1", json!({})).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(world.events("FailedCreatePodSandBox").await[0].contains("no configured Calico pools"));
}

#[tokio::test(start_paused = true)]
async fn the_naive_order_gets_stuck_and_a_swapped_configuration_remedies_it() {
    let world = worker_with_calico().await;
    world.start_pod("db-0", "w1", json!({})).await;
    world.ready("db-0").await;

    // Calico goes first, then the drain begins.
    remove_calico_naively(&world).await;
    world.api.delete(&core("default", "pods", "db-0"), &json!({})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(140)).await;
    let stuck = world.pod("default", "db-0").await.expect("the pod stays Terminating");
    assert_eq!(text(&stuck, "/status/phase"), "Running");
    assert_eq!(condition(&stuck, "Ready"), "False");
    assert_eq!(condition(&stuck, "PodReadyToStartContainers"), "False");
    assert!(stuck["status"]["containerStatuses"][0]["state"]["terminated"].is_object());
    let events = world.events("FailedKillPod").await;
    let uid = text(&stuck, "/metadata/uid");
    assert!(
        events[0].starts_with(&format!(
            "error killing pod: failed to \"KillPodSandbox\" for \"{uid}\" with KillPodSandboxError: \"rpc error: code = \
             Unknown desc = failed to destroy network for sandbox \\\""
        )),
        "{events:?}"
    );
    assert!(
        events[0].ends_with(
            "plugin type=\\\"calico\\\" failed (delete): error getting ClusterInformation: connection is \
             unauthorized: Unauthorized\""
        ),
        "{events:?}"
    );
    // New pods are stuck, too.
    world.start_pod("new", "w1", json!({})).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!world.events("FailedCreatePodSandBox").await.is_empty());
    // Giving the rights back under the same names does not revive the token.
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "calico-cni-plugin"}});
    world.api.create(&core("kube-system", "serviceaccounts", ""), &account).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(world.pod("default", "db-0").await.is_some());

    // A configuration whose DEL needs no API, sorting first: the next try succeeds.
    let hold = json!({"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [{"type": "loopback"}]});
    world.write("w1", "/etc/cni/net.d/00-replank.conflist", &hold.to_string());
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert!(world.pod("default", "db-0").await.is_none());
    assert_eq!(condition(&world.node("w1").await, "Ready"), "True");
    tokio::time::sleep(Duration::from_secs(14)).await;
    let failures = world.events("FailedCreatePodSandBox").await;
    assert!(
        failures.iter().any(|text| text.contains("failed to find network info for sandbox")),
        "{failures:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn swapped_before_calico_goes_nothing_sticks() {
    let world = worker_with_calico().await;
    for name in ["a", "b", "c"] {
        world.start_pod(name, "w1", json!({})).await;
        world.ready(name).await;
    }
    let hold = json!({"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [{"type": "loopback"}]});
    world.write("w1", "/etc/cni/net.d/00-replank.conflist", &hold.to_string());
    remove_calico_naively(&world).await;
    for name in ["a", "b", "c"] {
        world.api.delete(&core("default", "pods", name), &json!({})).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    for name in ["a", "b", "c"] {
        assert!(world.pod("default", name).await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn flannel_needs_its_subnet_file_and_comes_up_on_a_later_try() {
    let world = World::with_control_plane().await;
    world.join("w1", MachineRole::Worker).await;
    world.node("w1").await;
    let conf = json!({"name": "cbr0", "cniVersion": "0.3.1", "plugins": [
        {"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}}, {"type": "portmap"},
    ]});
    world.write("w1", "/opt/cni/bin/flannel", "");
    world.write("w1", "/etc/cni/net.d/10-flannel.conflist", &conf.to_string());
    world.start_pod("early", "w1", json!({})).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let failures = world.events("FailedCreatePodSandBox").await;
    assert!(failures[0].contains("open /run/flannel/subnet.env: no such file or directory"), "{failures:?}");
    world.write(
        "w1",
        "/run/flannel/subnet.env",
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.3.1/24\n",
    );
    world.ready("early").await;
    assert_eq!(text(&world.pod("default", "early").await.unwrap(), "/status/podIP"), "10.244.3.2");
}
