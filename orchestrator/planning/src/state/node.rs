//! A Node with its machine and its host.

use crate::ids::{MachineId, NodeName, Uid};
use ipnet::IpNet;
use replank_provider_protocol::{Keeping, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A Node as it was observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// Its name.
    pub name: NodeName,
    /// Its incarnation.
    pub uid: Uid,
    /// What it is for.
    pub role: Role,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// Names of its annotations, with values.
    pub annotations: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether it is cordoned.
    pub cordoned: bool,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// Internal addresses.
    pub addresses: Vec<IpAddr>,
    /// `spec.providerID`.
    pub provider_id: Option<String>,
    /// `status.nodeInfo.systemUUID`.
    pub system_uuid: String,
    /// Its Ready condition.
    pub ready: Readiness,
    /// `status.allocatable`.
    pub allocatable: BTreeMap<String, String>,
    /// Names of the CSI drivers that its CSINode lists.
    pub csi_drivers: BTreeSet<String>,
    /// Which machine it is, if the provider knows.
    pub machine: Option<MachineFacts>,
    /// What its host holds, where it could be asked.
    pub host: HostAccess,
}

/// Whether something is as it should be. Unknown is not healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Health {
    /// It said so.
    Good,
    /// It said the contrary.
    Bad,
    /// It said nothing.
    Unknown,
}

/// The Ready condition with the Node's own reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Its value.
    pub health: Health,
    /// The condition's message.
    pub message: String,
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; often empty.
    #[serde(default)]
    pub value: String,
    /// What it does.
    pub effect: TaintEffect,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// New pods don't come.
    NoSchedule,
    /// New pods come last.
    PreferNoSchedule,
    /// Pods leave.
    NoExecute,
}

/// The machine behind a Node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineFacts {
    /// The provider's name of it.
    pub id: MachineId,
    /// Whether it can be stopped and kept.
    pub keeping: Keeping,
}

/// Whether a host could be asked, and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "access", rename_all = "camelCase")]
pub enum HostAccess {
    /// Commands and files work.
    Reachable(HostInventory),
    /// There is no way to this host.
    None {
        /// Why, in a sentence.
        reason: String,
    },
}

/// What matters of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostInventory {
    /// File names in `/etc/kubernetes/manifests`.
    pub static_pods: BTreeSet<String>,
    /// Absolute paths of files that the control plane's static pods mount or name and that kubeadm
    /// does not carry to a joining node, with their digests.
    pub foreign_files: BTreeMap<String, String>,
    /// File names in `/etc/cni/net.d`, sorted as the runtime reads them.
    pub cni_configurations: Vec<String>,
}
