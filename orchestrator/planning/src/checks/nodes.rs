//! Nodes that are not as they should be before the run.

use super::{Code, Finding, Severity, Situation};
use crate::state::Health;
use replank_provider_protocol::Role;

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    situation
        .state
        .nodes
        .values()
        .filter(|node| node.ready.health != Health::Good)
        .map(|node| {
            let severity = match node.role {
                Role::ControlPlane => Severity::Blocker,
                Role::Worker => Severity::Consent,
            };
            Finding::new(
                severity,
                Code::NodeNotReady,
                format!("Node {}", node.name),
                format!("it is not ready ({}); pods on it can't be moved gracefully.", node.ready.message),
                "Repair the node first.",
            )
        })
        .collect()
}
