//! What a provider can do, told honestly at `initialize`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What this provider offers. The planner orders steps and warns by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// What a snapshot holds.
    pub snapshot: SnapshotKind,
    /// Where a replacement comes from.
    pub replacement: Replacement,
    /// Whether a stopped machine can be kept until `finalize`.
    pub keeping: Keeping,
    /// Whether the `host_*` verbs work.
    #[serde(default)]
    pub hosts: bool,
    /// Whether `register` and `deregister` change a load balancer.
    #[serde(default)]
    pub load_balancer: bool,
}

/// What a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotKind {
    /// Every volume of the machine, at one instant.
    Volumes,
    /// The machine's one disk.
    Disk,
    /// This provider can't take snapshots.
    None,
}

/// Where a replacement comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replacement {
    /// A machine that has never been a node.
    #[default]
    Fresh,
    /// The same machine, cleaned and joined again: the old state can't be kept.
    InPlace,
}

/// Whether a stopped machine can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keeping {
    /// A machine can be stopped, kept and started again.
    Stopped,
    /// A machine that stops is lost.
    Lost,
}
