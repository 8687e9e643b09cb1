//! The taints that stand for a node's conditions.

use crate::controllers::objects::{condition_status, items};
use serde_json::{Value, json};

/// Every taint that is the controller's to set: key and effect.
const OWN: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoSchedule"),
    ("node.kubernetes.io/unreachable", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/network-unavailable", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
];

/// The taints that a node should have by its conditions; `evict` adds those that end pods.
fn wanted(node: &Value, evict: bool) -> Vec<(&'static str, &'static str)> {
    let ready = condition_status(node, "Ready");
    let holds = |key: &str, effect: &str| match key.rsplit('/').next().unwrap_or_default() {
        "not-ready" => ready == "False" && (effect == "NoSchedule" || evict),
        "unreachable" => ["Unknown", ""].contains(&ready) && (effect == "NoSchedule" || evict),
        "memory-pressure" => condition_status(node, "MemoryPressure") == "True",
        "disk-pressure" => condition_status(node, "DiskPressure") == "True",
        "pid-pressure" => condition_status(node, "PIDPressure") == "True",
        "network-unavailable" => condition_status(node, "NetworkUnavailable") == "True",
        "unschedulable" => node["spec"]["unschedulable"] == true,
        _ => false,
    };
    OWN.iter().filter(|(key, effect)| holds(key, effect)).copied().collect()
}

/// The node's taints as they should be.
pub(super) fn right(node: &Value, evict: bool, now: &str) -> Vec<Value> {
    let is = |taint: &Value, (key, effect): &(&str, &str)| taint["key"] == *key && taint["effect"] == *effect;
    let wanted = wanted(node, evict);
    let mut taints: Vec<Value> = items(node, "/spec/taints")
        .iter()
        .filter(|taint| !OWN.iter().any(|own| is(taint, own)) || wanted.iter().any(|one| is(taint, one)))
        .cloned()
        .collect();
    for one in &wanted {
        if !taints.iter().any(|taint| is(taint, one)) {
            taints.push(json!({"key": one.0, "effect": one.1, "timeAdded": now}));
        }
    }
    taints
}
