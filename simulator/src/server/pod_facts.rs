//! What controllers ask of a pod again and again.
//!
//! A hundred DaemonSet pods are counted whenever one of them changes, and Deployments, budgets and Services count
//! theirs. Each of these questions is a walk through a tree of maps; with this they are asked once for a version.

use super::object::{condition_status, controller_of, is_terminating, items, labels_of, text};
use serde_json::Value;

/// The label with the hash of the template that a pod of a DaemonSet or StatefulSet was made from.
pub(crate) const REVISION: &str = "controller-revision-hash";

/// What is asked of a pod, read from one version of it.
#[derive(Debug)]
pub(crate) struct PodFacts {
    /// The node it is bound to, empty until then.
    pub(crate) node: Box<str>,
    /// The UID of the object that manages it, empty without one.
    pub(crate) controller: Box<str>,
    /// What [`REVISION`] says, empty without it.
    pub(crate) revision: Box<str>,
    /// Its addresses, none twice.
    pub(crate) addresses: Box<[Box<str>]>,
    pub(crate) phase: Phase,
    pub(crate) ready: bool,
    pub(crate) terminating: bool,
}

/// Whether a pod has ended, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It waits, runs, or nobody knows.
    Lives,
    /// All its containers have ended well.
    Succeeded,
    /// One has not.
    Failed,
}

impl PodFacts {
    pub(crate) fn of(pod: &Value) -> Self {
        Self {
            node: text(pod, "/spec/nodeName").into(),
            controller: controller_of(pod).map_or("", |owner| text(owner, "/uid")).into(),
            revision: labels_of(pod)[REVISION].as_str().unwrap_or("").into(),
            addresses: addresses(pod),
            phase: match text(pod, "/status/phase") {
                "Succeeded" => Phase::Succeeded,
                "Failed" => Phase::Failed,
                _ => Phase::Lives,
            },
            ready: condition_status(pod, "Ready") == "True",
            terminating: is_terminating(pod),
        }
    }
}

fn addresses(pod: &Value) -> Box<[Box<str>]> {
    let listed = items(pod, "/status/podIPs").iter().map(|one| text(one, "/ip"));
    let mut found: Vec<Box<str>> = listed.filter(|address| !address.is_empty()).map(Box::from).collect();
    let first = text(pod, "/status/podIP");
    if !first.is_empty() && !found.iter().any(|address| &**address == first) {
        found.push(first.into());
    }
    found.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_says_where_it_is_whose_it_is_and_how_it_is() {
        let facts = PodFacts::of(&json!({
            "metadata": {
                "deletionTimestamp": "2026-01-05T08:00:00Z",
                "labels": {"controller-revision-hash": "abc"},
                "ownerReferences": [{"uid": "friend"}, {"uid": "owner", "controller": true}],
            },
            "spec": {"nodeName": "worker-1"},
            "status": {
                "phase": "Failed",
                "podIP": "10.0.0.1",
                "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "conditions": [{"type": "Initialized", "status": "False"}, {"type": "Ready", "status": "True"}],
            },
        }));
        assert_eq!((&*facts.node, &*facts.controller, &*facts.revision), ("worker-1", "owner", "abc"));
        assert_eq!((facts.phase, facts.ready, facts.terminating), (Phase::Failed, true, true));
        assert_eq!(*facts.addresses, ["10.0.0.1".into(), "fd00::1".into()]);
    }

    #[test]
    fn a_pod_that_says_nothing_lives_nowhere_and_is_not_ready() {
        let facts = PodFacts::of(&json!({}));
        assert_eq!((&*facts.node, &*facts.controller, &*facts.revision), ("", "", ""));
        assert_eq!((facts.phase, facts.ready, facts.terminating), (Phase::Lives, false, false));
        assert!(facts.addresses.is_empty());
    }
}
