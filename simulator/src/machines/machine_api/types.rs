//! What the machine API says and is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A machine's state as a cloud shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineState {
    /// It boots.
    Pending,
    /// Its processes run.
    Running,
    /// It was told to stop.
    Stopping,
    /// It stands still; its disk is kept.
    Stopped,
    /// It will never run.
    Failed,
}

/// What a machine is meant to be in its cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineRole {
    /// Runs workloads.
    #[default]
    Worker,
    /// Runs the control plane; is in the load balancer.
    ControlPlane,
}

/// The order to make a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateMachine {
    /// The caller's name for this effect: the same one never makes two machines.
    pub operation_id: String,
    /// The machine's name, which becomes its host name.
    pub name: String,
    /// The run that the machine is made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The caller's lock epoch.
    pub epoch: u64,
    /// The cluster that the epoch belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// User-data in base64.
    pub user_data: String,
    /// The image. `bare` has no CNI plugins; any other has those that distributions install.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The id of the machine that it is modelled on, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// The id of a machine that is wiped, and is this one from then on: the same hardware at the same addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
    /// Labels of the machine, not of its Node.
    pub labels: BTreeMap<String, String>,
    /// What the machine is meant to be.
    pub role: MachineRole,
}

/// A machine as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The id that a Node's `spec.providerID` would hold.
    #[serde(rename = "providerID")]
    pub provider_id: String,
    /// Its state.
    pub state: MachineState,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The firmware's UUID, which a Node's `nodeInfo` shows.
    #[serde(rename = "systemUUID")]
    pub system_uuid: String,
    /// The run that it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// The Node that its kubelet registered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What it is meant to be.
    pub role: MachineRole,
    /// Whether the load balancer sends to it; only for control planes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered: Option<bool>,
}

/// A snapshot's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotState {
    /// Being taken.
    Pending,
    /// Can be restored.
    Ready,
    /// Never will be.
    Failed,
}

/// A snapshot as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotView {
    /// Its id.
    pub id: String,
    /// The machine that it was taken of.
    pub machine: String,
    /// Its state.
    pub state: SnapshotState,
    /// The run that it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The cluster whose run that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// When it was begun, RFC 3339.
    pub created_at: String,
}

/// What kind of refusal an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No such thing.
    NotFound,
    /// The operation id was used for something else.
    AlreadyExists,
    /// No room.
    Exhausted,
    /// An older epoch.
    Denied,
    /// The request makes no sense.
    Invalid,
    /// Ask again.
    Unavailable,
    /// A fault of the datacenter.
    Internal,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct MachineError {
    /// Its kind.
    pub code: ErrorCode,
    /// A sentence.
    pub message: String,
    /// Whether asking again can help.
    pub retryable: bool,
}

impl MachineError {
    /// A refusal that asking again may or may not cure, by its kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let retryable = matches!(code, ErrorCode::Unavailable | ErrorCode::Exhausted | ErrorCode::Internal);
        Self { code, message: message.into(), retryable }
    }

    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("there is no {what} {id}"))
    }
}

/// One thing that was really done to the datacenter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    /// The caller's operation id; empty where the API has none.
    pub operation: String,
    /// What was done, for example `create`.
    pub effect: String,
    /// To which machine, snapshot or file.
    pub subject: String,
    /// When, RFC 3339 with microseconds.
    pub at: String,
    /// By whom (User-Agent).
    pub client: String,
}

/// A call that was denied because its caller's epoch was old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// The caller's operation id.
    pub operation: String,
    /// The caller's epoch.
    pub epoch: u64,
    /// The epoch that stands.
    pub known: u64,
    /// Who asked (User-Agent).
    pub client: String,
}
