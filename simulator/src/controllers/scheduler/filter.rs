//! Why a pod can't run on a node.

use super::cache::{Cache, NodeInfo, PodInfo};
use super::relations::Relations;
use super::volumes::Volumes;
use crate::controllers::objects::items;
use crate::controllers::placement::{node_wanted, tolerates, untolerated};
use serde_json::json;

/// What keeps a pod from a node, in the words of the real scheduler.
pub(super) fn refusals(
    cache: &Cache,
    pod: &PodInfo,
    info: &NodeInfo,
    relations: &Relations,
    volumes: &Volumes,
) -> Vec<String> {
    match refusal(pod, info) {
        Some(reason) => return vec![reason],
        None => {
            let lacking = lacking(pod, info);
            if !lacking.is_empty() {
                return lacking;
            }
        }
    }
    if !volumes.allow(&info.node) {
        return vec!["node(s) didn't match PersistentVolume's node affinity".to_owned()];
    }
    relations.refusal(cache, info).into_iter().map(str::to_owned).collect()
}

fn refusal(pod: &PodInfo, info: &NodeInfo) -> Option<String> {
    let tolerations = items(&pod.pod, "/spec/tolerations");
    let node = &*info.node;
    if node["spec"]["unschedulable"] == true {
        let taint = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
        if !tolerations.iter().any(|one| tolerates(one, &taint)) {
            return Some("node(s) were unschedulable".to_owned());
        }
    }
    let taints = items(node, "/spec/taints");
    if let Some(taint) = untolerated(taints, tolerations, &["NoSchedule", "NoExecute"]) {
        let field = |name: &str| taint[name].as_str().unwrap_or("");
        return Some(format!("node(s) had untolerated taint {{{}: {}}}", field("key"), field("value")));
    }
    if !node_wanted(&pod.pod["spec"], node) {
        return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    if pod.ports.iter().any(|port| info.ports.contains_key(port)) {
        return Some("node(s) didn't have free ports for the requested pod ports".to_owned());
    }
    None
}

/// The resources that a node has too little of.
fn lacking(pod: &PodInfo, info: &NodeInfo) -> Vec<String> {
    let mut reasons = Vec::new();
    let most = info.room.get("pods");
    if i64::try_from(info.pods.len()).unwrap_or(i64::MAX) >= most {
        reasons.push("Too many pods".to_owned());
    }
    for (name, amount) in pod.requests.iter() {
        if amount > info.room.get(name) - info.used.get(name) {
            reasons.push(format!("Insufficient {name}"));
        }
    }
    reasons
}
