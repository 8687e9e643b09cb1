//! Canal: Flannel's network with Calico's policies, in one pod. Its Flannel has VNI 1 and the range
//! of the cluster's podCIDRs, and its role bears Flannel's own name.

use super::agents::{self, from_field, from_map};
use super::{Calico, access, definitions};
use serde_json::{Value, json};

/// The range of Canal's Flannel, which kubeadm must be told too.
pub const NETWORK: &str = "10.244.0.0/16";

pub(super) fn objects(calico: &Calico) -> Vec<Value> {
    let mut objects = definitions::objects(calico.shape.records(), calico.has_tiers());
    for name in ["canal", "calico-cni-plugin", "calico-kube-controllers"] {
        objects.push(access::account(name));
    }
    objects.extend([
        access::role("calico-node", &access::node(calico)),
        access::role("calico-cni-plugin", &access::plugin(calico)),
        access::role("calico-kube-controllers", &access::controllers(calico)),
        access::role(
            "flannel",
            &json!([
                access::rule("", &["pods"], &["get"]),
                access::rule("", &["nodes"], &["get", "list", "watch"]),
                access::rule("", &["nodes/status"], &["patch"]),
            ]),
        ),
        access::binding("canal-flannel", "flannel", "canal"),
        access::binding("canal-calico", "calico-node", "canal"),
        access::binding("calico-cni-plugin", "calico-cni-plugin", "calico-cni-plugin"),
        access::binding("calico-kube-controllers", "calico-kube-controllers", "calico-kube-controllers"),
        configuration(),
        agents::node(calico),
    ]);
    objects.extend(access::tier_getter());
    objects.extend(agents::controllers(calico));
    objects
}

fn configuration() -> Value {
    let network = json!({
        "name": "k8s-pod-network",
        "cniVersion": "0.3.1",
        "plugins": [
            {
                "type": "calico",
                "log_level": "info",
                "datastore_type": "kubernetes",
                "nodename": "__KUBERNETES_NODE_NAME__",
                "ipam": {"type": "host-local", "subnet": "usePodCidr"},
                "policy": {"type": "k8s"},
                "kubernetes": {"kubeconfig": "__KUBECONFIG_FILEPATH__"},
            },
            {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}},
        ],
    });
    let flannel = json!({"Network": NETWORK, "Backend": {"Type": "vxlan"}});
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "canal-config", "namespace": "kube-system"},
        "data": {
            "typha_service_name": "none",
            "canal_iface": "",
            "masquerade": "true",
            "veth_mtu": "0",
            "cni_network_config": format!("{network:#}"),
            "net-conf.json": format!("{flannel:#}"),
        },
    })
}

/// Flannel's daemon, beside the agent.
pub(super) fn flanneld() -> Value {
    json!({
        "name": "kube-flannel",
        "image": "docker.io/flannel/flannel:v0.24.4",
        "command": ["/opt/bin/flanneld", "--ip-masq", "--kube-subnet-mgr"],
        "env": [
            from_field("POD_NAME", "metadata.name"),
            from_field("POD_NAMESPACE", "metadata.namespace"),
            from_map("FLANNELD_IFACE", "canal-config", "canal_iface"),
            from_map("FLANNELD_IP_MASQ", "canal-config", "masquerade"),
        ],
        "volumeMounts": [{"name": "flannel-cfg", "mountPath": "/etc/kube-flannel/"}],
        "securityContext": {"privileged": true},
    })
}
