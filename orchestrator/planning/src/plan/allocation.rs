//! A place per node: which machine goes, what comes, with which range.

use crate::ids::{MachineId, NodeName, SlotId, Uid};
use crate::state::Taint;
use ipnet::IpNet;
use replank_provider_protocol::{Keeping, Replacement, Role};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One node's place in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// Its name: the old node's.
    pub id: SlotId,
    /// What the node is for.
    pub role: Role,
    /// Where what takes its place comes from.
    #[serde(default, skip_serializing_if = "is_fresh")]
    pub replacement: Replacement,
    /// The old Node.
    pub old: OldNode,
    /// What takes its place.
    pub new: Allocation,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_fresh(replacement: &Replacement) -> bool {
    *replacement == Replacement::Fresh
}

/// The node that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OldNode {
    /// Its name.
    pub name: NodeName,
    /// Its incarnation.
    pub uid: Uid,
    /// Its machine.
    pub machine: MachineId,
    /// Whether the machine can be kept until `finalize`.
    pub keeping: Keeping,
}

/// What a replacement is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// The machine's name, and the Node's where the provider does not name Nodes itself. The old Node's, where the
    /// same machine is joined again.
    pub machine_name: String,
    /// Its podCIDRs, the first family first.
    pub pod_cidrs: Vec<IpNet>,
    /// Labels that travel from the old node.
    pub labels: BTreeMap<String, String>,
    /// Taints that travel from the old node.
    pub taints: Vec<Taint>,
}
