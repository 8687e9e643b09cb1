//! Calico without its operator: pods bound by hand, kinds without a schema.

use std::time::Duration;

use serde_json::{Value, json};

use crate::agents;
use crate::machines::MachineRole;
use crate::machines::api::{core, text};
use crate::machines::stories::world::{World, condition};

const GROUP: &str = "/apis/crd.projectcalico.org/v1";

pub(super) async fn install_kinds(world: &World) {
    for (plural, kind) in [
        ("clusterinformations", "ClusterInformation"),
        ("felixconfigurations", "FelixConfiguration"),
        ("kubecontrollersconfigurations", "KubeControllersConfiguration"),
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
}

async fn account(world: &World, name: &str, rules: Value) {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    world.api.create(&core("default", "serviceaccounts", ""), &account).await.unwrap();
    world.grant(name, "default", rules).await;
}

/// No more rights than upstream gives: none to patch Calico's own kinds.
pub(super) async fn accounts(world: &World) {
    let own = json!({
        "apiGroups": ["crd.projectcalico.org"], "resources": ["*"], "verbs": ["get", "list", "watch", "create", "update", "delete"],
    });
    let read = json!({"apiGroups": [""], "resources": ["nodes", "pods", "namespaces"], "verbs": ["get", "list", "watch"]});
    let token = json!({
        "apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["calico-cni-plugin"], "verbs": ["create"],
    });
    let node = json!({"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch", "update"]});
    account(world, "calico-node", json!([own, read, token, node])).await;
    let pod = json!({"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]});
    account(world, "calico-cni-plugin", json!([own, read, pod])).await;
    account(world, "calico-kube-controllers", json!([own, read])).await;
}

pub(super) fn node_pod(backend: &str) -> Value {
    let conf = json!({"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [
        {
            "type": "calico", "nodename": "__KUBERNETES_NODE_NAME__", "ipam": {"type": "calico-ipam"},
            "kubernetes": {"kubeconfig": "__KUBECONFIG_FILEPATH__"},
        },
        {"type": "portmap"},
    ]});
    let node = json!({"name": "NODENAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}});
    let mounts = json!([
        {"name": "bin", "mountPath": "/host/opt/cni/bin"}, {"name": "net", "mountPath": "/host/etc/cni/net.d"},
    ]);
    json!({"spec": {
        "hostNetwork": true, "serviceAccountName": "calico-node", "terminationGracePeriodSeconds": 5,
        "initContainers": [{
            "name": "a", "image": "mirror.example/calico/cni:v3.30.3", "command": ["/opt/cni/bin/install"],
            "env": [{"name": "CNI_NETWORK_CONFIG", "value": conf.to_string()}], "volumeMounts": mounts,
        }],
        "containers": [{
            "name": "b", "image": "mirror.example/calico/node:v3.30.3",
            "env": [node, {"name": "CALICO_NETWORKING_BACKEND", "value": backend}, {"name": "CALICO_IPV4POOL_VXLAN", "value": "Always"}],
            "lifecycle": {"preStop": {"exec": {"command": ["/bin/calico-node", "-shutdown"]}}},
            "readinessProbe": {"exec": {"command": ["/bin/calico-node", "-felix-ready"]}},
            "volumeMounts": mounts,
        }],
        "volumes": [
            {"name": "bin", "hostPath": {"path": "/opt/cni/bin"}}, {"name": "net", "hostPath": {"path": "/etc/cni/net.d"}},
        ],
    }})
}

fn controllers_pod() -> Value {
    json!({"spec": {
        "serviceAccountName": "calico-kube-controllers", "tolerations": [{"operator": "Exists"}],
        "containers": [{
            "name": "c", "image": "calico/kube-controllers:v3.30.3", "env": [{"name": "ENABLED_CONTROLLERS", "value": "node,loadbalancer"}],
            "readinessProbe": {"exec": {"command": ["/usr/bin/check-status", "-r"]}},
        }],
    }})
}

pub(super) async fn worker() -> World {
    let world = World::running(agents::programs()).initialised().await;
    world.join("w1", MachineRole::Worker).await;
    world.node("w1").await;
    install_kinds(&world).await;
    accounts(&world).await;
    world
}

#[tokio::test(start_paused = true)]
async fn calico_makes_its_defaults_and_pods_get_addresses_of_a_block() {
    let world = worker().await;
    world.start_pod("calico", "w1", node_pod("vxlan")).await;
    world.ready("calico").await;
    let pool = world.api.get(&format!("{GROUP}/ippools/default-ipv4-ippool")).await.unwrap();
    assert_eq!(pool["spec"]["cidr"], "192.168.0.0/16");
    assert_eq!((&pool["spec"]["vxlanMode"], &pool["spec"]["ipipMode"]), (&json!("Always"), &json!("Never")));
    let information = world.api.get(&format!("{GROUP}/clusterinformations/default")).await.unwrap();
    assert_eq!(information["spec"]["calicoVersion"], "v3.30.3");
    let node = world.node("w1").await;
    assert_eq!(condition(&node, "NetworkUnavailable"), "False");
    let (affinities, _) = world.api.list(&format!("{GROUP}/blockaffinities")).await.unwrap();
    let [affinity] = affinities.as_slice() else { panic!("{} blocks of one node", affinities.len()) };
    assert_eq!((&affinity["spec"]["node"], &affinity["spec"]["state"]), (&json!("w1"), &json!("confirmed")));
    let block: ipnet::Ipv4Net = text(affinity, "/spec/cidr").parse().unwrap();
    assert!(block.prefix_len() == 26 && block.to_string().starts_with("192.168."), "{block} is of the pool");
    let named = format!("w1-{}", block.to_string().replace(['.', '/'], "-"));
    assert_eq!(affinity["metadata"]["name"], named);
    let address = |index: u32| std::net::Ipv4Addr::from_bits(block.network().to_bits() + index).to_string();
    assert_eq!(node["metadata"]["annotations"]["projectcalico.org/IPv4VXLANTunnelAddr"], address(0));
    world.start_pod("web", "w1", json!({})).await;
    world.ready("web").await;
    assert_eq!(text(&world.pod("default", "web").await.unwrap(), "/status/podIP"), address(1));

    // A closed pool gives nothing more, not even from a block that the node has.
    let closed = json!({"spec": {"disabled": true}});
    let path = format!("{GROUP}/ippools/default-ipv4-ippool");
    world.api.patch(&path, crate::machines::api::Patch::Merge, &closed).await.unwrap();
    world.start_pod("late", "w1", json!({})).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let failures = world.events("FailedCreatePodSandBox").await;
    assert!(failures.iter().any(|text| text.contains("no configured Calico pools")), "{failures:?}");

    world.api.delete(&core("default", "pods", "late"), &json!({})).await.unwrap();

    // After a quarter of its day the token is another.
    let (_, first) = world.run("w1", "cat /etc/cni/net.d/calico-kubeconfig").await;
    tokio::time::sleep(Duration::from_secs(7 * 3600)).await;
    let (_, second) = world.run("w1", "cat /etc/cni/net.d/calico-kubeconfig").await;
    assert_ne!(first, second);
    world.api.delete(&core("default", "pods", "web"), &json!({})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.pod("default", "web").await.is_none());

    world.api.delete(&core("default", "pods", "calico"), &json!({})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(condition(&world.node("w1").await, "NetworkUnavailable"), "True");
}

#[tokio::test(start_paused = true)]
async fn blocks_of_a_node_that_is_gone_are_given_back() {
    let world = worker().await;
    world.start_pod("calico", "w1", node_pod("vxlan")).await;
    world.ready("calico").await;
    world.bridge("cp1", "10.9.0.0/24");
    world.start_pod("controllers", "cp1", controllers_pod()).await;
    world.ready("controllers").await;
    let blocks = || async { world.api.list(&format!("{GROUP}/ipamblocks")).await.unwrap().0.len() };
    assert_eq!(blocks().await, 1);
    let id = world.machine("w1").id;
    world.datacenter.stop(&id, crate::machines::Caller::default()).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(blocks().await, 1);
    world.api.delete(&core("", "nodes", "w1"), &json!({})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(blocks().await, 0);
    for plural in ["blockaffinities", "ipamhandles"] {
        assert!(world.api.list(&format!("{GROUP}/{plural}")).await.unwrap().0.is_empty(), "{plural}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_pools_have_finalizers_the_controllers_take_them_away_last() {
    let world = worker().await;
    world.start_pod("calico", "w1", node_pod("vxlan")).await;
    world.ready("calico").await;
    world.bridge("cp1", "10.9.0.0/24");
    let path = format!("{GROUP}/ippools/default-ipv4-ippool");
    let held = json!({"metadata": {"finalizers": ["projectcalico.org/ippool-finalizer"]}});
    world.api.patch(&path, crate::machines::api::Patch::Merge, &held).await.unwrap();
    world.api.delete(&path, &json!({})).await.unwrap();
    world.start_pod("controllers", "cp1", controllers_pod()).await;
    world.ready("controllers").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.api.find(&path).await.unwrap().is_some(), "the tunnel's address is of this pool");
    let id = world.machine("w1").id;
    world.datacenter.stop(&id, crate::machines::Caller::default()).unwrap();
    world.api.delete(&core("", "nodes", "w1"), &json!({})).await.unwrap();
    world.until("the pool's end", || async { world.api.find(&path).await.unwrap().is_none() }).await;
}

#[tokio::test(start_paused = true)]
async fn calico_that_only_enforces_policy_leaves_the_network_alone() {
    let world = worker().await;
    let mut pod = node_pod("none");
    pod["spec"]["containers"][0]["env"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "NO_DEFAULT_POOLS", "value": "true"}));
    world.start_pod("canal", "w1", pod).await;
    world.ready("canal").await;
    assert_eq!(condition(&world.node("w1").await, "NetworkUnavailable"), "absent");
    assert!(world.api.list(&format!("{GROUP}/ippools")).await.unwrap().0.is_empty());
}
