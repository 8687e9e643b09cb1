//! Flannel on one node.

use std::time::Duration;

use serde_json::{Value, json};

use crate::agents;
use crate::machines::MachineRole;
use crate::machines::api::{Patch, core, text};
use crate::machines::stories::world::{World, condition};

/// Flannel's account, configuration and one pod of it, on a worker `w1`.
async fn install(net_conf: Value) -> World {
    let world = World::running(agents::programs()).initialised().await;
    world.join("w1", MachineRole::Worker).await;
    world.node("w1").await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "flannel"}});
    world.api.create(&core("default", "serviceaccounts", ""), &account).await.unwrap();
    world
        .grant(
            "flannel",
            "default",
            json!([
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
            ]),
        )
        .await;
    let cni = json!({"name": "cbr0", "cniVersion": "0.3.1", "plugins": [{"type": "flannel"}]});
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"},
        "data": {"cni-conf.json": cni.to_string(), "net-conf.json": net_conf.to_string()},
    });
    world.api.create(&core("default", "configmaps", ""), &map).await.unwrap();
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let pod = json!({"spec": {
        "hostNetwork": true, "serviceAccountName": "flannel", "tolerations": [{"operator": "Exists"}],
        "initContainers": [
            {
                "name": "plugin", "image": "reg.example/mirror/flannel-cni-plugin:v1", "command": ["cp"],
                "args": ["-f", "/flannel", "/opt/cni/bin/flannel"],
                "volumeMounts": [{"name": "bin", "mountPath": "/opt/cni/bin"}],
            },
            {
                "name": "conf", "image": "reg.example/mirror/flannel:v1", "command": ["cp"],
                "args": ["-f", "/etc/kube-flannel/cni-conf.json", "/etc/cni/net.d/10-flannel.conflist"],
                "volumeMounts": [{"name": "cni", "mountPath": "/etc/cni/net.d"}, {"name": "cfg", "mountPath": "/etc/kube-flannel/"}],
            },
        ],
        "containers": [{
            "name": "main", "image": "reg.example/mirror/flannel:v1", "command": ["/opt/bin/flanneld"],
            "args": ["--ip-masq", "--kube-subnet-mgr"],
            "env": [field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace")],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8081}},
            "volumeMounts": [{"name": "run", "mountPath": "/run/flannel"}, {"name": "cfg", "mountPath": "/etc/kube-flannel/"}],
        }],
        "volumes": [
            {"name": "bin", "hostPath": {"path": "/opt/cni/bin"}},
            {"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}},
            {"name": "run", "hostPath": {"path": "/run/flannel"}},
            {"name": "cfg", "configMap": {"name": "cfg"}},
        ],
    }});
    world.start_pod("flannel", "w1", pod).await;
    world
}

async fn assign(world: &World, cidrs: &[&str]) {
    let patch = json!({"spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs}});
    world.api.patch(&core("", "nodes", "w1"), Patch::Merge, &patch).await.unwrap();
}

fn annotation(node: &Value, key: &str) -> Value {
    node["metadata"]["annotations"][format!("flannel.alpha.coreos.com/{key}")].clone()
}

#[tokio::test(start_paused = true)]
async fn flannel_waits_for_its_range_then_announces_it_and_pods_get_addresses() {
    let world = install(json!({"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}})).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let error = world.published("w1", "flanneld/error").unwrap();
    assert_eq!(error, "failed to acquire lease: node \"w1\" pod cidr not assigned");
    assert_eq!(annotation(&world.node("w1").await, "public-ip"), Value::Null);
    assign(&world, &["10.244.3.0/24"]).await;
    world.ready("flannel").await;
    let node = world.node("w1").await;
    assert_eq!(annotation(&node, "kube-subnet-manager"), "true");
    assert_eq!(annotation(&node, "backend-type"), "vxlan");
    assert!(annotation(&node, "backend-data").as_str().unwrap().contains("\"VNI\":1"));
    assert_eq!(condition(&node, "NetworkUnavailable"), "False");
    let (_, env) = world.run("w1", "cat /run/flannel/subnet.env").await;
    assert!(env.contains("FLANNEL_SUBNET=10.244.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true"), "{env}");
    world.until("w1 Ready", || async { condition(&world.node("w1").await, "Ready") == "True" }).await;
    world.start_pod("web", "w1", json!({})).await;
    world.ready("web").await;
    assert_eq!(text(&world.pod("default", "web").await.unwrap(), "/status/podIP"), "10.244.3.2");
}

#[tokio::test(start_paused = true)]
async fn a_range_outside_the_network_is_announced_and_refused() {
    let world = install(json!({"Network": "10.244.0.0/16", "Backend": {"Type": "host-gw"}})).await;
    assign(&world, &["192.168.7.0/24"]).await;
    world
        .until("flanneld's refusal", || async {
            world.published("w1", "flanneld/error").is_some_and(|error| error.contains("doesn't contain"))
        })
        .await;
    let node = world.node("w1").await;
    assert_eq!(annotation(&node, "backend-type"), "host-gw");
    assert_eq!(annotation(&node, "backend-data"), "null");
    assert_eq!(condition(&node, "NetworkUnavailable"), "absent");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let pod = world.pod("default", "flannel").await.unwrap();
    assert_eq!(condition(&pod, "Ready"), "False");
    assert!(pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap() > 0);
}

#[tokio::test(start_paused = true)]
async fn both_families_and_an_unknown_backend() {
    let conf = json!({
        "Network": "10.244.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00:10::/56", "Backend": {"Type": "wireguard"},
    });
    let world = install(conf).await;
    assign(&world, &["10.244.3.0/24", "fd00:10:0:3::/64"]).await;
    world.ready("flannel").await;
    let (_, env) = world.run("w1", "cat /run/flannel/subnet.env").await;
    assert!(env.contains("FLANNEL_IPV6_SUBNET=fd00:10:0:3::1/64"), "{env}");
    assert!(annotation(&world.node("w1").await, "backend-v6-data").is_string());

    let world = install(json!({"Network": "10.244.0.0/16", "Backend": {"Type": "avian"}})).await;
    assign(&world, &["10.244.3.0/24"]).await;
    world
        .until("flanneld's refusal", || async {
            world
                .published("w1", "flanneld/error")
                .is_some_and(|error| error.ends_with("unknown backend type: avian"))
        })
        .await;
}
