//! Pods and what guards or reaches them.

use crate::ids::{NodeName, Uid};
use crate::object::ObjectRef;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodState {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its incarnation.
    pub uid: Uid,
    /// The node it is bound to.
    pub node: Option<NodeName>,
    /// Who made it.
    pub owner: Owner,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// Whether it uses its node's network.
    pub host_network: bool,
    /// Whether its Ready condition holds.
    pub ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Volumes that matter for moving it.
    pub volumes: Vec<PodVolume>,
    /// Whether `replank` or an autoscaler convention marks it as not to be evicted.
    pub tolerates_everything: bool,
}

/// Who made a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "owner", rename_all = "camelCase")]
pub enum Owner {
    /// A controller that would make it again.
    Controller {
        /// Its kind, such as `ReplicaSet`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A DaemonSet: it belongs to its node.
    DaemonSet {
        /// Its name.
        name: String,
    },
    /// The kubelet, from a static manifest.
    Mirror,
    /// Nobody: gone is gone.
    Bare,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodPhase {
    /// Not all its containers have started.
    Pending,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// Its node does not say.
    Unknown,
}

/// A volume that matters for moving a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum PodVolume {
    /// Lost when the pod leaves.
    EmptyDir {
        /// The volume's name.
        name: String,
    },
    /// Stays on the node.
    HostPath {
        /// The path.
        path: String,
    },
    /// A claim; `local_to` names the node it can't leave, if any.
    Claim {
        /// The claim's name.
        claim: String,
        /// The node that its volume is bound to.
        local_to: Option<NodeName>,
    },
}

/// A PodDisruptionBudget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `spec.selector` as JSON.
    pub selector: serde_json::Value,
    /// `spec.minAvailable`, as written.
    pub min_available: Option<String>,
    /// `spec.maxUnavailable`, as written.
    pub max_unavailable: Option<String>,
    /// `status.disruptionsAllowed`.
    pub disruptions_allowed: i64,
    /// `status.currentHealthy`.
    pub current_healthy: i64,
    /// `status.desiredHealthy`.
    pub desired_healthy: i64,
    /// `status.expectedPods`.
    pub expected_pods: i64,
    /// `namespace/name` of the pods it selects.
    pub pods: Vec<String>,
}

/// A network policy of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Policy {
    /// Which.
    pub object: ObjectRef,
}

/// A Service with the pods behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `spec.selector`.
    pub selector: BTreeMap<String, String>,
    /// Its cluster addresses.
    pub cluster_ips: Vec<IpAddr>,
    /// `namespace/name` of the pods it selects, those on the host network left out.
    pub pods: Vec<String>,
}

/// A webhook or aggregated API that is served from pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// The configuration object, or the APIService.
    pub object: ObjectRef,
    /// The webhook's own name; the APIService's name again.
    pub name: String,
    /// `namespace/name` of the Service.
    pub service: String,
    /// What happens when it can't be reached.
    pub failure: WebhookFailure,
    /// Whether any of its pods uses the pod network (host-network pods stay reachable).
    pub on_pod_network: bool,
}

/// What happens when a webhook can't be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookFailure {
    /// The request is refused.
    Closed,
    /// The request goes through.
    Open,
}
