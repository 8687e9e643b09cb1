//! Facts that exist only once the run is under way: each with one named source, learned once.

use crate::ids::{MachineId, NodeName, SlotId, SnapshotId, Uid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A node that a step speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "node", rename_all = "camelCase")]
pub enum NodeRef {
    /// The node that the slot's plan was made for: known by name and uid.
    Old {
        /// The slot.
        slot: SlotId,
        /// Its name.
        name: NodeName,
        /// Its incarnation.
        uid: Uid,
    },
    /// The slot's replacement: its name and uid are late facts.
    New {
        /// The slot.
        slot: SlotId,
    },
}

impl NodeRef {
    /// The slot it belongs to.
    pub fn slot(&self) -> &SlotId {
        match self {
            Self::Old { slot, .. } | Self::New { slot } => slot,
        }
    }
}

/// A late fact: in the plan a name, in the journal a value before it is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "fact", rename_all = "camelCase")]
pub enum Learned {
    /// The provider's answer to `create`.
    Machine {
        /// Whose replacement.
        slot: SlotId,
        /// Its id.
        machine: MachineId,
    },
    /// The provider's answer to `snapshot`.
    Snapshot {
        /// Whose old machine.
        slot: SlotId,
        /// Its id.
        snapshot: SnapshotId,
    },
    /// The Node that the replacement registered.
    Node {
        /// Whose replacement.
        slot: SlotId,
        /// Its name.
        name: NodeName,
        /// Its incarnation.
        uid: Uid,
        /// Its first internal address.
        address: Option<IpAddr>,
    },
    /// The bootstrap token's public id; the secret half is read back from its Secret.
    Token {
        /// Whose replacement.
        slot: SlotId,
        /// The six-letter id.
        id: String,
    },
}

impl Learned {
    /// The slot it is about.
    pub fn slot(&self) -> &SlotId {
        match self {
            Self::Machine { slot, .. }
            | Self::Snapshot { slot, .. }
            | Self::Node { slot, .. }
            | Self::Token { slot, .. } => slot,
        }
    }
}
