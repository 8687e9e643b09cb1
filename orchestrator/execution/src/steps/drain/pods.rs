//! Which pods leave, and which may not.

use crate::steps::support::{items, name_of, text};
use replank_planning::plan::action::Drain;
use replank_planning::plan::{Action, Plan};
use replank_planning::waiting::Refusal;
use serde_json::Value;
use std::collections::BTreeSet;

/// What becomes of a pod.
pub(super) enum Leaving {
    /// It belongs to its node.
    Stays,
    /// It leaves.
    Goes,
    /// It must not leave without someone's word.
    Refused(Refusal),
}

/// What becomes of a pod when its node is drained.
pub(super) fn leaving(plan: &Plan, pod: &Value) -> Leaving {
    let owner = controller(pod);
    let mirror = pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some();
    if mirror || owner.is_some_and(|(kind, _)| kind == "DaemonSet") {
        return Leaving::Stays;
    }
    let ended = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    if ended || pod.pointer("/metadata/deletionTimestamp").is_some() {
        return Leaving::Goes;
    }
    // The key by which consents know a pod: its controller, which outlives it.
    let key = match owner {
        Some((kind, name)) => format!("{kind} {}/{name}", text(pod, "/metadata/namespace")),
        None => format!("Pod {}", name_of(pod)),
    };
    let missing = |finding: &str, reason: String| {
        Leaving::Refused(Refusal::ConsentMissing { finding: finding.to_owned(), object: key.clone(), reason })
    };
    if owner.is_none() && !accepted(plan, &key, |d| &d.bare_accepted) {
        return missing(
            "bare-pod",
            format!("Pod {} has no controller: nobody would make it again", name_of(pod)),
        );
    }
    let scratch =
        items(pod, "/spec/volumes").iter().find(|v| v.get("emptyDir").is_some_and(|e| !e.is_null()));
    match scratch {
        Some(volume) if !accepted(plan, &key, |d| &d.empty_dir_accepted) => missing(
            "empty-dir",
            format!("Pod {} would lose its emptyDir volume {}", name_of(pod), text(volume, "/name")),
        ),
        _ => Leaving::Goes,
    }
}

/// The kind and name of a pod's controller.
fn controller(pod: &Value) -> Option<(&str, &str)> {
    let owner = items(pod, "/metadata/ownerReferences").iter().find(|o| o["controller"] == true)?;
    Some((text(owner, "/kind"), text(owner, "/name")))
}

/// Whether the plan has the consent, in whichever drain: pods move between the nodes while it runs.
fn accepted(plan: &Plan, key: &str, set: impl Fn(&Drain) -> &BTreeSet<String>) -> bool {
    plan.steps.iter().any(|step| match &step.action {
        Action::Drain(drain) => set(drain).contains(key),
        _ => false,
    })
}
