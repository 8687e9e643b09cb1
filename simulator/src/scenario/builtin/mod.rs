//! A Calico of this project's own: what upstream's manifest holds, in meaning, in few words. It
//! installs the same agents by the same images, so that everything that is known of the real one
//! by group, owner, reference and image is true of it too.

mod access;
mod agents;
mod definitions;

use serde_json::{Value, json};

/// The version that its images name.
pub const VERSION: &str = "v3.30.3";

/// All objects, in no particular order.
pub fn objects() -> Vec<Value> {
    let mut objects = definitions::objects();
    objects.extend(access::objects());
    objects.push(configuration());
    objects.push(agents::node());
    objects.extend(agents::controllers());
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
                "ipam": {"type": "calico-ipam"},
                "policy": {"type": "k8s"},
                "kubernetes": {"kubeconfig": "__KUBECONFIG_FILEPATH__"},
            },
            {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}},
            {"type": "bandwidth", "capabilities": {"bandwidth": true}},
        ],
    });
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "calico-config", "namespace": "kube-system"},
        "data": {
            "typha_service_name": "none",
            "calico_backend": "bird",
            "veth_mtu": "0",
            "cni_network_config": format!("{network:#}"),
        },
    })
}
