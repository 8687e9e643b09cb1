//! Parameters and results, verb by verb. Unknown fields are ignored on both sides.

use crate::{
    Capabilities, Epoch, Keeping, Machine, MachineId, NodeFacts, OperationId, Role, RunId, Snapshot,
    SnapshotId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What every mutating call carries: which effect, for which run, under which lock epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mutation {
    /// The caller's name for this effect.
    pub operation: OperationId,
    /// The run it belongs to.
    pub run: RunId,
    /// The uid of the cluster's `kube-system` namespace: epochs count per cluster.
    pub cluster: String,
    /// The lock's epoch.
    pub epoch: Epoch,
}

/// The answer to work that may take longer than one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum Progress<T> {
    /// The work goes on: ask again with the same operation id.
    Pending {
        /// What the provider waits for, in a sentence.
        message: String,
    },
    /// The work is done.
    Done {
        /// Its result.
        value: T,
    },
}

/// `initialize`: the first call on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    /// The protocol versions that the caller speaks, best first.
    pub protocol_versions: Vec<u32>,
    /// The caller's settings for this provider, from the configuration file.
    #[serde(default)]
    pub settings: serde_json::Value,
}

/// The answer to `initialize`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResult {
    /// The version both will speak.
    pub protocol_version: u32,
    /// The provider's name.
    pub name: String,
    /// The provider's own version.
    pub version: String,
    /// What it can do.
    pub capabilities: Capabilities,
    /// A machine that is there and that others may be modelled on: what `replank provider check`
    /// takes when no other is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<MachineId>,
}

/// `find`: which machine is this Node, and can it be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindParams {
    /// What is known of the Node.
    pub node: NodeFacts,
}

/// The answer to `find`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The machine.
    pub machine: Machine,
    /// Whether this very machine can be stopped and kept.
    pub keeping: Keeping,
}

/// `list`: everything made for a run, or for all runs of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListParams {
    /// Only what this run made; everything that any run of the cluster made if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Whose runs.
    pub cluster: String,
}

/// The answer to `list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// Machines, by id.
    #[serde(default)]
    pub machines: Vec<Machine>,
    /// Snapshots, by id.
    #[serde(default)]
    pub snapshots: Vec<Snapshot>,
}

/// What a new machine shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineSpec {
    /// Its name; unique in the run.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The machine it takes the place of: size, image and placement follow it unless settings say
    /// otherwise.
    pub like: MachineId,
    /// Labels or tags it shall carry.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// `create`: make and start a machine.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateParams {
    /// Which effect.
    #[serde(flatten)]
    pub mutation: Mutation,
    /// What it shall be.
    pub spec: MachineSpec,
    /// Finished user-data, base64. Holds a join token: never logged, left out of the comparison of
    /// arguments.
    pub user_data: String,
}

impl std::fmt::Debug for CreateParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateParams")
            .field("mutation", &self.mutation)
            .field("spec", &self.spec)
            .field("user_data", &"(withheld)")
            .finish()
    }
}

/// `get`: one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetParams {
    /// Which.
    pub machine: MachineId,
}

/// `stop`, `start`, `register`, `deregister`, `snapshot`: one effect on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineParams {
    /// Which effect.
    #[serde(flatten)]
    pub mutation: Mutation,
    /// On which machine.
    pub machine: MachineId,
}

/// `restore`: bring a machine back to a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreParams {
    /// Which effect.
    #[serde(flatten)]
    pub mutation: Mutation,
    /// Which machine.
    pub machine: MachineId,
    /// To which snapshot.
    pub snapshot: SnapshotId,
}

/// What `delete` takes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Deletable {
    /// A machine with its disks.
    Machine(MachineId),
    /// A snapshot.
    Snapshot(SnapshotId),
}

/// `delete`: for good. Deleting what is gone is fine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeleteParams {
    /// Which effect.
    #[serde(flatten)]
    pub mutation: Mutation,
    /// What.
    pub target: Deletable,
}

/// `host_run`: run a command on the machine's host as root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostRunParams {
    /// Which effect, for a command that changes something; absent for one that only reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutation: Option<Mutation>,
    /// On which machine.
    pub machine: MachineId,
    /// The program and its arguments. Never holds a secret.
    pub argv: Vec<String>,
    /// Standard input, base64. May hold a secret: never logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostOutput {
    /// Its exit status.
    pub status: i32,
    /// What it printed, base64.
    pub stdout: String,
    /// What it printed as errors, base64.
    pub stderr: String,
}

/// `host_read`: a file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostReadParams {
    /// On which machine.
    pub machine: MachineId,
    /// Its absolute path.
    pub path: String,
}

/// A file on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostFile {
    /// Its content, base64.
    pub content: String,
    /// Its permission bits.
    pub mode: u32,
}

/// `host_write`: replace a file as a whole (a temporary file beside it, then a rename).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostWriteParams {
    /// Which effect.
    #[serde(flatten)]
    pub mutation: Mutation,
    /// On which machine.
    pub machine: MachineId,
    /// Its absolute path.
    pub path: String,
    /// The new file; none removes it.
    pub file: Option<HostFile>,
}
