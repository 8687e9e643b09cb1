//! What stands in the way of a migration: one file a check, each a pure function from a
//! [`Situation`] to findings.

pub mod finding;

mod budgets;
mod calico;
mod control_plane;
mod etcd;
#[cfg(test)]
mod every_code;
mod flannel;
mod machines;
mod nodes;
mod pods;
mod policies;
mod unbridged;

pub use finding::{Code, Consent, Finding, Severity};

use crate::cni::calico::detect::{Detection, Install};
use crate::cni::calico::objects::Belongings;
use crate::intent::{Intent, Strategy};
use crate::state::{ClusterState, Owner, PodState};

/// What the checks look at.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The cluster.
    pub state: &'a ClusterState,
    /// What is wanted.
    pub intent: &'a Intent,
    /// The Calico that was found.
    pub detection: &'a Detection,
    /// What belongs to it.
    pub calico: &'a Belongings,
}

impl Situation<'_> {
    /// The install, if there is exactly one.
    pub fn install(&self) -> Option<&Install> {
        self.detection.install()
    }

    /// Whether both networks exist side by side while nodes are replaced.
    pub fn rolling(&self) -> bool {
        self.intent.strategy == Strategy::Rolling
    }

    /// Whether a pod is one of Calico's own.
    pub fn is_calicos(&self, pod: &PodState) -> bool {
        let (Owner::Controller { name, .. } | Owner::DaemonSet { name }) = &pod.owner else { return false };
        self.calico.workloads.iter().any(|(_, id)| {
            // A ReplicaSet is named after its Deployment and a hash.
            let workload = id.object.name.as_str();
            id.object.namespace == pod.namespace
                && (name == workload
                    || name
                        .strip_prefix(workload)
                        .is_some_and(|rest| rest.starts_with('-') && !rest[1..].contains('-')))
        })
    }
}

/// Every finding, weightiest first.
pub fn all(situation: &Situation<'_>) -> Vec<Finding> {
    let checks: [fn(&Situation<'_>) -> Vec<Finding>; 10] = [
        calico::check,
        flannel::check,
        control_plane::check,
        etcd::check,
        machines::check,
        nodes::check,
        budgets::check,
        pods::check,
        policies::check,
        unbridged::check,
    ];
    let mut found: Vec<Finding> = checks.iter().flat_map(|check| check(situation)).collect();
    found.sort();
    found.dedup();
    found
}

/// The key by which consents and drains know a pod: its controller, which outlives it, or itself.
pub fn pod_key(pod: &PodState) -> String {
    match &pod.owner {
        Owner::Controller { kind, name } => format!("{kind} {}/{name}", pod.namespace),
        Owner::DaemonSet { name } => format!("DaemonSet {}/{name}", pod.namespace),
        Owner::Mirror | Owner::Bare => format!("Pod {}/{}", pod.namespace, pod.name),
    }
}

impl Finding {
    fn new(
        severity: Severity,
        code: Code,
        object: impl Into<String>,
        message: impl Into<String>,
        fix: &str,
    ) -> Self {
        Self { severity, code, object: object.into(), message: message.into(), fix: fix.to_owned() }
    }
}
