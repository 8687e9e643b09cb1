//! Canal: Flannel's network with Calico's policy, in one pod.

use serde_json::{Value, json};

use super::calico::{node_pod, worker};
use crate::machines::api::{Patch, core, text};
use crate::machines::stories::world::condition;

/// calico-node that only enforces, flanneld, and a configuration with the node's own range.
fn canal() -> Value {
    let mut pod = node_pod("none");
    let conf = json!({"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [
        {
            "type": "calico", "nodename": "__KUBERNETES_NODE_NAME__",
            "ipam": {"type": "host-local", "subnet": "usePodCidr"},
            "kubernetes": {"kubeconfig": "__KUBECONFIG_FILEPATH__"},
        },
        {"type": "portmap"},
    ]});
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let spec = &mut pod["spec"];
    spec["initContainers"][0]["env"] = json!([
        {"name": "CNI_NETWORK_CONFIG", "value": conf.to_string()}, {"name": "CNI_CONF_NAME", "value": "10-canal.conflist"},
    ]);
    let push = |list: &mut Value, item: Value| list.as_array_mut().unwrap().push(item);
    push(&mut spec["containers"][0]["env"], json!({"name": "NO_DEFAULT_POOLS", "value": "true"}));
    push(
        &mut spec["containers"],
        json!({
            "name": "kube-flannel", "image": "docker.io/flannel/flannel:v0.24.4",
            "command": ["/opt/bin/flanneld", "--ip-masq", "--kube-subnet-mgr"],
            "env": [field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace")],
            "volumeMounts": [{"name": "cfg", "mountPath": "/etc/kube-flannel/"}],
        }),
    );
    push(&mut spec["volumes"], json!({"name": "cfg", "configMap": {"name": "canal-config"}}));
    pod
}

#[tokio::test(start_paused = true)]
async fn pods_get_addresses_of_the_nodes_range_and_flannel_announces_it() {
    let world = worker().await;
    let net = json!({"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}).to_string();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "canal-config"}, "data": {"net-conf.json": net},
    });
    world.api.create(&core("default", "configmaps", ""), &map).await.unwrap();
    let range = json!({"spec": {"podCIDR": "10.244.3.0/24", "podCIDRs": ["10.244.3.0/24"]}});
    world.api.patch(&core("", "nodes", "w1"), Patch::Merge, &range).await.unwrap();
    world.start_pod("canal", "w1", canal()).await;
    world.ready("canal").await;
    world
        .until("flannel's word", || async {
            condition(&world.node("w1").await, "NetworkUnavailable") == "False"
        })
        .await;
    let node = world.node("w1").await;
    assert_eq!(node["metadata"]["annotations"]["flannel.alpha.coreos.com/backend-type"], "vxlan");
    assert!(node["metadata"]["annotations"]["projectcalico.org/IPv4Address"].is_null());
    world.start_pod("web", "w1", json!({})).await;
    world.ready("web").await;
    assert_eq!(text(&world.pod("default", "web").await.unwrap(), "/status/podIP"), "10.244.3.2");
    let (_, names) = world.run("w1", "ls /etc/cni/net.d").await;
    assert!(names.contains("10-canal.conflist"), "{names}");
    let pools = world.api.list("/apis/crd.projectcalico.org/v1/ippools").await.unwrap().0;
    assert!(pools.is_empty());
}
