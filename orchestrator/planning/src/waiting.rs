//! Why nothing happens right now, why something was refused, why a run paused: typed, each with a
//! sentence of its own.

use crate::ids::{MachineId, NodeName};
use crate::node_image::{Item, sentence};
use crate::object::ObjectRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a step or the run waits for. The journal keeps it with the time since when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "code", rename_all = "camelCase")]
pub enum Waiting {
    /// The cluster's lock is held by someone else, and its lease has not run out.
    LockHeld {
        /// Who.
        holder: String,
    },
    /// Our lease could not be renewed in time: nothing is done until it is held again.
    LockNotRenewed,
    /// The API server does not answer.
    ApiServer {
        /// What was seen.
        reason: String,
    },
    /// The provider asks for patience.
    Provider {
        /// The verb.
        verb: String,
        /// What it said.
        message: String,
    },
    /// A control plane's controller-manager does not yet run with the new flags.
    ControllerManager {
        /// On which node.
        node: NodeName,
        /// What it runs with or why it doesn't run.
        reason: String,
    },
    /// A machine has not yet registered a Node.
    NodeMissing {
        /// The machine.
        machine: MachineId,
    },
    /// A Node is not ready.
    NodeNotReady {
        /// Which.
        node: NodeName,
        /// Its own word for it; `Unknown` is not ready.
        reason: String,
    },
    /// A new machine can't become ready: its image lacks something.
    ImageLacks {
        /// The machine.
        machine: MachineId,
        /// What.
        items: Vec<Item>,
    },
    /// kubeadm has not yet made a Node a control plane.
    JoinUnfinished {
        /// Which.
        node: NodeName,
        /// What is missing.
        missing: String,
    },
    /// A new machine's join has failed: it is taken away again, and another one is made in its place.
    MachineGivenUp {
        /// The machine.
        machine: MachineId,
        /// Why.
        reason: String,
    },
    /// Pods of a DaemonSet or Deployment are not ready.
    Rollout {
        /// Whose pods.
        object: ObjectRef,
        /// On which node, where it is about one.
        node: Option<NodeName>,
        /// How many are ready.
        ready: u32,
        /// How many must be.
        wanted: u32,
    },
    /// No pod of a Deployment is on a replacement yet, though all of them are ready.
    Foothold {
        /// Whose pods.
        object: ObjectRef,
        /// How many are on old nodes.
        on_old: u32,
    },
    /// An object has not yet gone.
    ObjectGone {
        /// Which.
        object: ObjectRef,
        /// The finalizers it still has.
        finalizers: Vec<String>,
    },
    /// Pods still leave a node.
    Draining {
        /// Which node.
        node: NodeName,
        /// Each pod that is still there and why.
        pods: Vec<PodWait>,
    },
    /// Pods of the new side are pending: no room, no matching node.
    PodsPending {
        /// How many.
        count: u32,
        /// One of them, with the scheduler's sentence.
        example: String,
    },
    /// Volumes are still attached to the old node.
    VolumesAttached {
        /// Which node.
        node: NodeName,
        /// The VolumeAttachments.
        attachments: Vec<String>,
    },
    /// etcd would not keep its quorum, or a member is still a learner or not healthy.
    Etcd {
        /// What is missing.
        reason: String,
    },
    /// A serving certificate's request has not been approved.
    ServingCertificate {
        /// Whose.
        node: NodeName,
    },
    /// The canary's soak has not ended.
    Soak {
        /// Which node.
        node: NodeName,
        /// How long the soak lasts, in seconds.
        seconds: u64,
    },
    /// A failed attempt waits for its next try.
    Retry {
        /// What failed.
        reason: String,
    },
}

/// A pod that still is on a draining node, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodWait {
    /// `namespace/name`.
    pub pod: String,
    /// Why it is still there.
    pub state: PodDrainState,
}

/// Where a pod is on its way off a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum PodDrainState {
    /// Its eviction is being asked for.
    Evicting,
    /// Its eviction is refused for now by a disruption budget.
    BlockedByBudget {
        /// `namespace/name` of the budget, where the server named it.
        budget: String,
        /// The server's sentence.
        message: String,
        /// Since when this budget holds it, RFC 3339; not in journals of older versions.
        #[serde(default)]
        since: String,
    },
    /// Its eviction failed in a way that may pass (5xx, webhook); it is asked for again.
    Retrying {
        /// The server's sentence.
        message: String,
    },
    /// It is shutting down.
    Terminating,
    /// It can't leave without someone's decision.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Waiting {
    /// The reason's stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LockHeld { .. } => "lockHeld",
            Self::LockNotRenewed => "lockNotRenewed",
            Self::ApiServer { .. } => "apiServer",
            Self::Provider { .. } => "provider",
            Self::ControllerManager { .. } => "controllerManager",
            Self::NodeMissing { .. } => "nodeMissing",
            Self::NodeNotReady { .. } => "nodeNotReady",
            Self::ImageLacks { .. } => "imageLacks",
            Self::JoinUnfinished { .. } => "joinUnfinished",
            Self::MachineGivenUp { .. } => "machineGivenUp",
            Self::Rollout { .. } => "rollout",
            Self::Foothold { .. } => "foothold",
            Self::ObjectGone { .. } => "objectGone",
            Self::Draining { .. } => "draining",
            Self::PodsPending { .. } => "podsPending",
            Self::VolumesAttached { .. } => "volumesAttached",
            Self::Etcd { .. } => "etcd",
            Self::ServingCertificate { .. } => "servingCertificate",
            Self::Soak { .. } => "soak",
            Self::Retry { .. } => "retry",
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LockHeld { holder } => write!(f, "waiting for the cluster's lock, held by {holder}"),
            Self::LockNotRenewed => {
                f.write_str("waiting to hold the cluster's lock again: its lease was not renewed in time")
            }
            Self::ApiServer { reason } => write!(f, "waiting for the API server: {reason}"),
            Self::Provider { verb, message } => write!(f, "waiting for the provider to {verb}: {message}"),
            Self::ControllerManager { node, reason } => {
                write!(f, "waiting for the controller-manager on {node}: {reason}")
            }
            Self::NodeMissing { machine } => write!(f, "waiting for machine {machine} to register its Node"),
            Self::NodeNotReady { node, reason } => write!(f, "waiting for node {node} to be ready: {reason}"),
            Self::ImageLacks { machine, items } => {
                write!(f, "waiting for machine {machine}, which lacks {}", sentence(items))
            }
            Self::JoinUnfinished { node, missing } => {
                write!(f, "waiting for kubeadm to end the join of {node}: {missing}")
            }
            Self::MachineGivenUp { machine, reason } => {
                write!(f, "giving up machine {machine}, and making another in its place: {reason}")
            }
            Self::Rollout { object, node: Some(node), .. } => {
                write!(f, "waiting for the pod of {object} on {node} to be ready")
            }
            Self::Rollout { object, node: None, ready, wanted } => {
                write!(f, "waiting for {object}: {ready} of {wanted} pods are ready")
            }
            Self::Foothold { object, on_old } => {
                write!(
                    f,
                    "waiting for a pod of {object} on a replacement: its {on_old} pods are on old nodes"
                )
            }
            Self::ObjectGone { object, finalizers } if finalizers.is_empty() => {
                write!(f, "waiting for {object} to be gone")
            }
            Self::ObjectGone { object, finalizers } => {
                write!(f, "waiting for {object} to be gone; it is held by {}", finalizers.join(", "))
            }
            Self::Draining { node, pods } => draining(f, node, pods),
            Self::PodsPending { count, example } => {
                write!(f, "waiting for room for {count} pending pods, such as {example}")
            }
            Self::VolumesAttached { node, attachments } => {
                write!(f, "waiting for {} volumes to be detached from {node}", attachments.len())
            }
            Self::Etcd { reason } => write!(f, "waiting for etcd: {reason}"),
            Self::ServingCertificate { node } => {
                write!(f, "waiting for the serving certificate of {node} to be approved")
            }
            Self::Soak { node, seconds } => write!(f, "watching {node} for {seconds} s before going on"),
            Self::Retry { reason } => write!(f, "trying again soon: {reason}"),
        }
    }
}

fn draining(f: &mut fmt::Formatter<'_>, node: &NodeName, pods: &[PodWait]) -> fmt::Result {
    let held = |p: &&PodWait| match &p.state {
        PodDrainState::BlockedByBudget { since, .. } => Some(since.clone()),
        _ => None,
    };
    let mut blocked: Vec<&PodWait> = pods.iter().filter(|p| held(p).is_some()).collect();
    // The one that waits longest says most.
    blocked.sort_by_key(held);
    write!(f, "waiting for {} pods to leave {node}", pods.len())?;
    match blocked.first() {
        Some(PodWait { pod, state: PodDrainState::BlockedByBudget { budget, since, .. } }) => {
            write!(f, "; {} blocked by a budget, such as {pod} by {budget}", blocked.len())?;
            if since.is_empty() { Ok(()) } else { write!(f, " since {since}") }
        }
        _ => Ok(()),
    }
}

/// Why a run stopped before its end and waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "code", rename_all = "camelCase")]
pub enum PauseReason {
    /// Someone asked for it.
    Requested {
        /// How: a signal, `replank pause`, the cluster's mirror.
        by: String,
    },
    /// A step refused: what it needs is not so, and waiting won't make it so.
    Refused {
        /// The reason.
        refusal: Refusal,
    },
    /// A step's deadline passed.
    Deadline {
        /// What it was waiting for.
        waiting: Box<Waiting>,
        /// The deadline, in seconds.
        seconds: u64,
    },
    /// A step failed as often as it may.
    StepFailed {
        /// The last failure.
        reason: String,
    },
    /// The provider broke its protocol or kept failing.
    Provider {
        /// What was seen.
        reason: String,
    },
}

/// A step's refusal to act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "refusal", rename_all = "camelCase")]
pub enum Refusal {
    /// The world is not as the plan knew it.
    Changed {
        /// What.
        object: String,
        /// How it differs.
        difference: String,
    },
    /// A consent that the plan does not have is needed.
    ConsentMissing {
        /// The finding's code.
        finding: String,
        /// For which object.
        object: String,
        /// Why.
        reason: String,
    },
    /// The server refused in a way that can't pass.
    Server {
        /// What was asked for.
        action: String,
        /// The server's sentence.
        message: String,
    },
    /// A new machine's image lacks what a node needs.
    Image {
        /// The machine.
        machine: MachineId,
        /// What it lacks.
        items: Vec<Item>,
    },
    /// The host lacks what the step needs, or its content is not understood.
    Host {
        /// Which.
        node: String,
        /// Why.
        reason: String,
    },
    /// The act would break a guard, and waiting won't help.
    Unsafe {
        /// Which guard.
        guard: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { object, difference } => {
                write!(f, "{object} is not as the plan knew it: {difference}")
            }
            Self::ConsentMissing { finding, object, reason } => {
                write!(
                    f,
                    "{reason}. A run that has begun is given no other consent: delete the pod yourself and run \
                     `replank apply` again, or take the run back with `replank rollback` and plan anew with \
                     --accept {finding}:{object}"
                )
            }
            Self::Server { action, message } => write!(f, "the API server refused to {action}: {message}"),
            Self::Image { machine, items } => {
                write!(
                    f,
                    "the image of machine {machine} lacks {}; then run `replank apply` again",
                    sentence(items)
                )
            }
            Self::Host { node, reason } => write!(f, "host of {node}: {reason}"),
            Self::Unsafe { guard, reason } => write!(f, "{guard}: {reason}"),
        }
    }
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested { by } => write!(f, "a pause was requested by {by}"),
            Self::Refused { refusal } => write!(f, "{refusal}"),
            Self::Deadline { waiting, seconds } => write!(f, "after {seconds} s it was still {waiting}"),
            Self::StepFailed { reason } => write!(f, "{reason}"),
            Self::Provider { reason } => write!(f, "{reason}"),
        }
    }
}
