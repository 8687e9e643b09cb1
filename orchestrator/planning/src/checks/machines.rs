//! What the provider can and can't do for these machines.

use super::{Code, Finding, Severity, Situation};
use crate::state::HostAccess;
use replank_provider_protocol::{Keeping, Role, SnapshotKind};

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
