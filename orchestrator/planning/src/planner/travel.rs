//! Labels and taints travel by owner: what kubelet, kubeadm, a cloud controller, CSI, Calico or
//! replank wrote on a node stays behind, since its successor gets its own.

use crate::state::{NodeState, Taint};
use std::collections::BTreeMap;

const KUBEADM_TAINTS: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// The labels that go with a node.
pub(super) fn labels(node: &NodeState) -> BTreeMap<String, String> {
    let cloud = node.provider_id.as_deref().is_some_and(is_cloud);
    node.labels
        .iter()
        .filter(|(key, _)| label_travels(key, cloud))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn label_travels(key: &str, cloud: bool) -> bool {
    let (prefix, name) = key.split_once('/').unwrap_or(("", key));
    match prefix {
        "node-role.kubernetes.io" => !matches!(name, "control-plane" | "master"),
        "kubernetes.io" | "beta.kubernetes.io" => false,
        "node.kubernetes.io" => !matches!(name, "instance-type" | "exclude-from-external-load-balancers"),
        // On machines of no cloud, people write these themselves.
        "topology.kubernetes.io" | "failure-domain.beta.kubernetes.io" => !cloud,
        "projectcalico.org" | "operator.tigera.io" | "replank.dev" => false,
        other => {
            !(other.starts_with("topology.") && other.contains("csi") || other.ends_with("csi.tigera.io"))
        }
    }
}

fn is_cloud(provider_id: &str) -> bool {
    ["aws://", "gce://", "azure://", "openstack://", "digitalocean://", "hcloud://", "vsphere://"]
        .iter()
        .any(|scheme| provider_id.starts_with(scheme))
}

/// The taints that the successor shall have. A control plane's own taint is among them if the old
/// node has it: kubeadm puts it on every new control plane, wanted or not.
pub(super) fn taints(node: &NodeState) -> Vec<Taint> {
    let travels = |taint: &&Taint| {
        let prefix = taint.key.split_once('/').map_or("", |(prefix, _)| prefix);
        KUBEADM_TAINTS.contains(&taint.key.as_str())
            || !matches!(
                prefix,
                "node.kubernetes.io"
                    | "node.cloudprovider.kubernetes.io"
                    | "replank.dev"
                    | "projectcalico.org"
            )
    };
    node.taints.iter().filter(travels).cloned().collect()
}
