//! The machine API's documents, as far as this provider reads and writes them.

use replank_provider_protocol::{
    ErrorCode, Machine, MachineId, MachineState, ProviderError, Retry, RunId, Snapshot, SnapshotId,
    SnapshotState,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A list of anything.
#[derive(Debug, Deserialize)]
pub struct Items<T> {
    /// The things.
    pub items: Vec<T>,
}

/// A machine as the machine API shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireMachine {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `spec.providerID` of its Node.
    #[serde(rename = "providerID")]
    pub provider_id: String,
    /// Where it is in its life.
    pub state: MachineState,
    /// Its addresses.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The system UUID.
    #[serde(rename = "systemUUID")]
    pub system_uuid: String,
    /// The run that made it.
    #[serde(default)]
    pub run: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl From<WireMachine> for Machine {
    fn from(wire: WireMachine) -> Self {
        Self {
            id: MachineId::new(wire.id),
            name: wire.name,
            state: wire.state,
            provider_id: Some(wire.provider_id),
            system_uuid: Some(wire.system_uuid),
            addresses: wire.addresses,
            run: wire.run.filter(|r| !r.is_empty()).map(RunId::new),
            labels: wire.labels,
        }
    }
}

/// A snapshot as the machine API shows it.
#[derive(Debug, Deserialize)]
pub struct WireSnapshot {
    /// Its id.
    pub id: String,
    /// The machine it was taken of.
    pub machine: String,
    /// How far it has come.
    pub state: SnapshotState,
    /// The run that took it.
    #[serde(default)]
    pub run: Option<String>,
    /// The cluster whose run that was.
    #[serde(default)]
    pub cluster: Option<String>,
}

impl From<WireSnapshot> for Snapshot {
    fn from(wire: WireSnapshot) -> Self {
        Self {
            id: SnapshotId::new(wire.id),
            machine: MachineId::new(wire.machine),
            state: wire.state,
            run: wire.run.filter(|r| !r.is_empty()).map(RunId::new),
        }
    }
}

/// The machine API's refusal.
#[derive(Debug, Deserialize)]
pub struct WireError {
    /// Why.
    pub code: ErrorCode,
    /// A sentence.
    pub message: String,
    /// Whether asking again can help.
    pub retryable: bool,
}

impl From<WireError> for ProviderError {
    fn from(wire: WireError) -> Self {
        let retry = if wire.retryable { Retry::MayHelp } else { Retry::WillNotHelp };
        Self { code: wire.code, message: wire.message, retry }
    }
}

/// What every mutating request carries.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WireMutation {
    /// Which effect.
    pub operation_id: String,
    /// For which run.
    pub run: String,
    /// On whose cluster.
    pub cluster: String,
    /// Under which epoch.
    pub epoch: u64,
}

/// A host file.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireFile {
    /// Its content, base64.
    pub content: String,
    /// Its permission bits.
    pub mode: u32,
}

/// How a host command ended.
#[derive(Debug, Deserialize)]
pub struct WireOutput {
    /// Its exit status.
    pub status: i32,
    /// Base64.
    pub stdout: String,
    /// Base64.
    pub stderr: String,
}
