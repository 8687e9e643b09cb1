//! Pods that a budget speaks for: nobody takes the machine or the Node away under them.

use crate::schema::builtin::POD_DISRUPTION_BUDGETS;
use crate::server::{Direct, LabelSelector, Object};
use serde_json::Value;

/// The pods on a node that a budget counts as healthy and that nobody has sent away, each in words.
///
/// A pod that is ending, or that was not ready before, takes nothing from its budget any more; those of
/// a `DaemonSet` and the node's own live and die with it.
pub(super) fn held_on(direct: &Direct, node: &str) -> Vec<String> {
    let pods = direct.pods_on_node(node);
    let healthy = pods.iter().filter(|pod| is_healthy(pod) && !is_of_its_node(pod));
    healthy.filter_map(|pod| held(direct, pod)).collect()
}

/// A pod and the budget that selects it, if one does.
fn held(direct: &Direct, pod: &Object) -> Option<String> {
    let namespace = pod["metadata"]["namespace"].as_str()?;
    let budgets = direct.list(&POD_DISRUPTION_BUDGETS, Some(namespace));
    let selects = |budget: &&Object| {
        LabelSelector::from_object(&budget["spec"]["selector"]).matches(&pod["metadata"]["labels"])
    };
    let budget = budgets.iter().find(selects)?;
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Some(format!("Pod {namespace}/{}, of which budget {} was not asked", name(pod), name(budget)))
}

fn is_healthy(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True");
    ready && pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_of_its_node(pod: &Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().any(|owner| owner["kind"] == "DaemonSet" || owner["kind"] == "Node")
}
