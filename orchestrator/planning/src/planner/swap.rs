//! The CNI configuration that stands in for Calico's on old hosts during a cutover.

use crate::ids::NodeName;
use crate::late::NodeRef;
use crate::plan::action::SwapCni;
use crate::state::{HostAccess, NodeState};
use serde_json::json;

/// Sorts before every other configuration.
const PATH: &str = "/etc/cni/net.d/00-replank.conflist";

/// A configuration whose DEL needs no API and whose ADD refuses with a plain message: only
/// `loopback`, under Calico's network name so that the runtime finds its cached results.
pub(super) fn step(node: &NodeState, reference: NodeRef) -> SwapCni {
    let content = json!({
        "cniVersion": "0.3.1",
        "name": "k8s-pod-network",
        "plugins": [{"type": "loopback"}],
    });
    SwapCni { node: reference, path: PATH.into(), content: format!("{content:#}\n"), remove: calicos(node) }
}

/// Calico's own files there, as observed.
fn calicos(node: &NodeState) -> Vec<String> {
    let HostAccess::Reachable(host) = &node.host else { return Vec::new() };
    let is_calicos = |name: &&String| {
        matches!(name.as_str(), "10-calico.conflist" | "calico-kubeconfig" | "10-canal.conflist")
    };
    host.cni_configurations.iter().filter(is_calicos).map(|name| format!("/etc/cni/net.d/{name}")).collect()
}

/// The name of a node's swap step.
pub(super) fn step_name(node: &NodeName) -> String {
    format!("swap-cni/{node}")
}
