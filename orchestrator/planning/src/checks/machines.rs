//! What the provider can and can't do for these machines.

use super::{Code, Finding, Severity, Situation};
use crate::state::{HostAccess, NodeState};
use replank_provider_protocol::{Keeping, Replacement, Role, SnapshotKind};

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    let Some(capabilities) = &situation.state.provider else { return Vec::new() };
    let mut found = Vec::new();
    if capabilities.snapshot == SnapshotKind::None {
        found.push(Finding::new(
            Severity::Consent,
            Code::NoSnapshot,
            "provider",
            "it can't take snapshots of machines: what is only on an old machine's disk is lost if the machine is.",
            "Choose a provider with snapshots, or accept no-snapshot.",
        ));
    }
    if capabilities.replacement == Replacement::InPlace && !situation.rolling() {
        found.push(Finding::new(
            Severity::Blocker,
            Code::InPlace,
            "cluster",
            "its machines would be joined again in place, but a cutover leaves no other node that could run the \
             first one's pods meanwhile.",
            "Use the rolling strategy, or give the provider a fresh machine to begin with.",
        ));
    }
    for node in situation.state.nodes.values() {
        let object = format!("Node {}", node.name);
        match &node.machine {
            None => found.push(Finding::new(
                Severity::Blocker,
                Code::MachineUnknown,
                object.clone(),
                "the provider knows no machine for it, so it can be neither snapshotted, stopped nor kept.",
                "Check the provider's settings (account, region, connection), or remove the Node if its machine is gone.",
            )),
            Some(_) if capabilities.replacement == Replacement::InPlace => found.push(in_place(situation, node)),
            Some(machine) if machine.keeping == Keeping::Lost => found.push(Finding::new(
                Severity::Consent,
                Code::MachineNotKept,
                object.clone(),
                "its machine is lost when it stops, so there is no way back for this node.",
                "Accept machine-not-kept for it, or move it to a machine that can be stopped.",
            )),
            Some(_) => {}
        }
        let needs_host = !situation.rolling() && node.role == Role::Worker;
        if let (true, HostAccess::None { reason }) = (needs_host, &node.host) {
            found.push(Finding::new(
                Severity::Blocker,
                Code::HostUnreachable,
                object,
                format!(
                    "its host can't be reached ({reason}), but a cutover changes the CNI configuration there."
                ),
                "Use the rolling strategy, or a provider with host access.",
            ));
        }
    }
    found
}

/// The node's own machine is joined again: no way back, and no other etcd member may be missing meanwhile.
fn in_place(situation: &Situation<'_>, node: &NodeState) -> Finding {
    let object = format!("Node {}", node.name);
    let planes = situation.state.nodes.values().filter(|n| n.role == Role::ControlPlane).count();
    if node.role == Role::ControlPlane && planes == 1 {
        return Finding::new(
            Severity::Blocker,
            Code::InPlace,
            object,
            "it is the only control plane: rejoined in place, it would take the cluster's etcd with it.",
            "Add a control plane first, or give the provider a machine to take its place.",
        );
    }
    Finding::new(
        Severity::Consent,
        Code::InPlace,
        object,
        "its machine is cleaned of the old network and joined again in place: there is no way back for this node, \
         and until it has joined the cluster is one node smaller.",
        "Accept in-place for it, or give the provider fresh machines.",
    )
}
