//! Findings and the consents that answer them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// No plan is made while it stands.
    Blocker,
    /// A plan needs the operator's consent to it, by object.
    Consent,
    /// Worth knowing before it happens.
    Warning,
    /// Worth knowing.
    Note,
}

/// What a finding is about: stable names that scripts and documentation use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A network policy that Flannel won't enforce.
    PolicyUnenforced,
    /// A pod that nobody makes again.
    BarePod,
    /// A pod whose emptyDir is lost.
    EmptyDir,
    /// A pod whose volume can't leave its node.
    LocalVolume,
    /// A budget that never allows an eviction.
    BudgetNeverAllows,
    /// A pod under two budgets, which the eviction API refuses.
    TwoBudgets,
    /// Traffic between old and new pods that is cut while both exist.
    Unbridged,
    /// A fail-closed webhook or APIService that is served from the pod network.
    PodServedWebhook,
    /// Ranges that overlap.
    RangesOverlap,
    /// A new range too small for the nodes.
    RangeTooSmall,
    /// A new range with more subnets than the controller-manager can count.
    RangeTooLarge,
    /// A new network of other address families than the cluster's.
    FamiliesDiffer,
    /// The provider can't take snapshots.
    NoSnapshot,
    /// A machine can't be kept.
    MachineNotKept,
    /// A machine that is cleaned and joined again, in the place of a fresh one.
    InPlace,
    /// A Node whose machine the provider does not know.
    MachineUnknown,
    /// A control plane's host can't be reached.
    HostUnreachable,
    /// Calico's objects can't be exported (etcd datastore).
    NoExport,
    /// The cutover strategy's outage.
    Outage,
    /// `controlPlaneEndpoint` is empty or a node's own address.
    ControlPlaneEndpoint,
    /// A control plane host holds what kubeadm does not carry to a new one.
    ForeignHostFiles,
    /// No Calico was found, or more than one.
    CalicoNotFound,
    /// A Calico install that must not be touched now, such as a datastore migration under way.
    CalicoBusy,
    /// Calico features that end with it (eBPF, BGP, WireGuard, host endpoints, …).
    FeatureLost,
    /// Calico's eBPF datapath routes Services, and there is no kube-proxy to do it afterwards.
    KubeProxyMissing,
    /// A namespace of Calico's that stays, since something else lives there too.
    NamespaceKept,
    /// A node is not ready.
    NodeNotReady,
    /// A control plane whose etcd member is missing or not ready.
    EtcdUnhealthy,
    /// kubeadm's records are missing or not understood.
    NotKubeadm,
    /// The controller-manager would not start.
    ControllerManagerWouldCrash,
    /// A Flannel that is there already, or objects in the new one's place.
    FlannelPresent,
    /// Something that the API server does not allow whoever asks.
    MissingRight,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            serde_json::to_value(self).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        f.write_str(&text)
    }
}

/// Something an operator should know before a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// What it is about.
    pub code: Code,
    /// The object it is about, such as `Pod default/db-0` (as [`crate::object::ObjectRef`] prints it) or `cluster`.
    pub object: String,
    /// What is so, and why it matters.
    pub message: String,
    /// What to do.
    pub fix: String,
}

/// The operator's word that a finding is known and accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    /// What is accepted.
    pub code: Code,
    /// For which object; for all that there were when the plan was made if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
}

impl Consent {
    /// Whether this consent answers that finding.
    pub fn covers(&self, finding: &Finding) -> bool {
        self.code == finding.code && self.object.as_ref().is_none_or(|o| *o == finding.object)
    }
}
