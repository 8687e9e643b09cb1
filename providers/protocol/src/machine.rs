//! Machines and snapshots as a provider describes them.

use crate::{MachineId, RunId, SnapshotId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What a machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs workloads.
    Worker,
    /// Runs the control plane and an etcd member.
    ControlPlane,
}

/// Where a machine is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    /// Being made or starting.
    Pending,
    /// Powered on. Says nothing of the operating system.
    Running,
    /// On its way down.
    Stopping,
    /// Off and kept.
    Stopped,
    /// Could not be made; `console_log` may tell why.
    Failed,
}

/// A machine as its provider sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// The provider's own name of it.
    pub id: MachineId,
    /// The name it was asked to have, or the provider's display name.
    pub name: String,
    /// Where it is in its life.
    pub state: MachineState,
    /// `spec.providerID` of its Node, where this provider's nodes carry one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The system UUID that its kubelet reports, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_uuid: Option<String>,
    /// Its addresses, the one to reach it by first.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The run that made it; none for a machine that replank did not make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The labels or tags it was made with.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// How far a snapshot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// Being taken: ask again.
    Pending,
    /// Complete and usable.
    Ready,
    /// Unusable.
    Failed,
}

/// A snapshot of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The provider's own name of it.
    pub id: SnapshotId,
    /// The machine it was taken of.
    pub machine: MachineId,
    /// How far it has come.
    pub state: SnapshotState,
    /// The run that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

/// What is known of a Node, for `find` to tell its machine by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// `metadata.name`.
    pub name: String,
    /// `spec.providerID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// `status.nodeInfo.systemUUID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_uuid: Option<String>,
    /// `status.addresses`.
    #[serde(default)]
    pub addresses: Vec<String>,
}
