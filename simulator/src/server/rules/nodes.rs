//! Nodes: what admission adds to new ones.

use crate::server::object::{child, items};
use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// The TaintNodesByCondition admission plugin: nothing is scheduled on a new node before a
/// controller has seen it ready.
pub(super) fn prepare_create(node: &mut Value) {
    let mut taints = items(node, "/spec/taints").to_vec();
    let is = |taint: &Value| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule";
    if !taints.iter().any(is) {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        child(node, "spec").insert("taints".into(), json!(taints));
    }
}
