//! Everything a step can do. Each action has a file of its own in the execution crate's `steps`.

use crate::ids::{NodeName, SlotId};
use crate::intent::DrainRules;
use crate::late::NodeRef;
use crate::object::{ObjectId, ObjectRef};
use crate::state::Taint;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a step does, with everything it needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "camelCase")]
pub enum Action {
    /// Writes every object that will be edited or removed into the run's backup and reads it back.
    Export(Export),
    /// Saves etcd on a control plane's host and verifies the file.
    SnapshotEtcd(SnapshotEtcd),
    /// Sets controller-manager flags in kubeadm's record, which a joining control plane renders from.
    RecordControllerManagerFlags(RecordFlags),
    /// Sets controller-manager flags in a host's static manifest and waits until it runs with them.
    SetControllerManagerFlags(SetFlags),
    /// Patches objects that stay, each from a known state to a wanted one.
    PatchObjects(PatchObjects),
    /// Creates or updates a set of objects that become ours, and waits for nothing.
    InstallObjects(InstallObjects),
    /// Raises a Deployment's replicas so that one is ready on the new side before the first drain.
    AnchorDeployment(AnchorDeployment),
    /// Swaps a host's CNI configuration for one whose DEL needs no API.
    SwapCni(SwapCni),
    /// Takes a snapshot of the old machine.
    SnapshotMachine(SlotAct),
    /// Reads what a control plane's host holds that kubeadm does not carry, while there is time: this very machine is
    /// cleaned before it joins again.
    KeepHostFiles(SlotAct),
    /// Makes the replacement: token, user-data, machine.
    CreateMachine(CreateMachine),
    /// Lets the replacement in: podCIDR, labels, taints, gate, and everything that must be ready.
    AdmitNode(AdmitNode),
    /// Taints the old nodes so that pods go to the new side.
    Fence(Fence),
    /// Watches the first replacement for a while.
    Soak(Soak),
    /// Marks a node as unschedulable.
    Cordon(NodeAct),
    /// Moves every pod off a node.
    Drain(Drain),
    /// Waits until no volume is attached to a node.
    DetachVolumes(NodeAct),
    /// Puts the new control plane's machine into the load balancer.
    RegisterControlPlane(SlotAct),
    /// Takes the old control plane's machine out of the load balancer.
    DeregisterControlPlane(SlotAct),
    /// Takes an old control plane out of etcd: leader moved, static manifests disarmed, member removed.
    LeaveEtcd(LeaveEtcd),
    /// Stops the old machine for good; it is kept until `finalize` where it can be.
    StopMachine(SlotAct),
    /// Deletes a Node by its uid.
    DeleteNode(NodeAct),
    /// Deletes what the API still holds of pods on a Node that is gone.
    ForgetPods(NodeAct),
    /// Deletes objects by uid and waits until they are gone.
    RemoveObjects(RemoveObjects),
    /// Sets kube-proxy's clusterCIDR and rolls its DaemonSet.
    SetKubeProxyCidr(SetKubeProxyCidr),
    /// Sets kubeadm's podSubnet.
    RecordPodSubnet(RecordPodSubnet),
    /// Sets NetworkUnavailable to False where nothing else would.
    RepairNetworkCondition(RepairNetworkCondition),
    /// Looks at the whole cluster and refuses if anything is not as the plan promised.
    Verify(Verify),
}

/// How a step is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "camelCase")]
pub enum Undo {
    /// It changes nothing.
    Nothing,
    /// By putting back what was captured before it.
    Restore,
    /// It can't be: the plan shows a line here.
    PointOfNoReturn {
        /// Why.
        reason: String,
    },
}

/// See [`Action::Export`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// Kinds that are exported whole: every object of them.
    pub kinds: BTreeSet<crate::object::Kind>,
    /// Single objects.
    pub objects: BTreeSet<ObjectRef>,
}

/// See [`Action::SnapshotEtcd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotEtcd {
    /// On which old control plane.
    pub node: NodeRef,
    /// Where on its host.
    pub path: String,
}

/// See [`Action::RecordControllerManagerFlags`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordFlags {
    /// Flags to set, without dashes.
    pub set: BTreeMap<String, String>,
    /// Flags to take away.
    pub remove: BTreeSet<String>,
}

/// See [`Action::SetControllerManagerFlags`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetFlags {
    /// On which control plane.
    pub node: NodeRef,
    /// Flags to set, without dashes.
    pub set: BTreeMap<String, String>,
}

/// See [`Action::PatchObjects`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PatchObjects {
    /// What this achieves, as a sentence of the plan, such as `pin calico-node to the old nodes`.
    pub purpose: String,
    /// The patches, in order.
    pub patches: Vec<ObjectPatch>,
    /// DaemonSets and Deployments whose rollout must be complete afterwards.
    pub wait_for: Vec<ObjectRef>,
}

/// One JSON merge patch on one incarnation of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectPatch {
    /// Which object.
    pub target: ObjectId,
    /// The merge patch. It names no list item by position.
    pub patch: Value,
}

/// See [`Action::InstallObjects`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstallObjects {
    /// What this is, such as `Flannel`.
    pub purpose: String,
    /// Whole objects, in the order of creation, each with its reference.
    pub objects: Vec<NewObject>,
}

/// An object to create.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewObject {
    /// Its place.
    pub object: ObjectRef,
    /// Its whole JSON.
    pub body: Value,
}

/// See [`Action::AnchorDeployment`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnchorDeployment {
    /// Which Deployment, such as CoreDNS.
    pub deployment: ObjectId,
    /// How many replicas it shall have meanwhile.
    pub replicas: u32,
}

/// See [`Action::SwapCni`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwapCni {
    /// On which old node.
    pub node: NodeRef,
    /// The new file's path: sorts before every other.
    pub path: String,
    /// The new file's content.
    pub content: String,
    /// Configurations of the old network to remove afterwards, by path.
    pub remove: Vec<String>,
}

/// An act on a slot's old machine or new machine, as the action's own documentation says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotAct {
    /// The slot.
    pub slot: SlotId,
}

/// An act on a Node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeAct {
    /// Which.
    pub node: NodeRef,
}

/// See [`Action::CreateMachine`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateMachine {
    /// The slot it is for.
    pub slot: SlotId,
    /// Where the API server is reached: `host:port`.
    pub endpoint: String,
    /// Taints that the kubelet registers with, so that nothing lands before the node is admitted.
    pub register_with_taints: Vec<Taint>,
    /// Seconds until the Node must have appeared.
    pub deadline_seconds: u64,
}

/// See [`Action::AdmitNode`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmitNode {
    /// Whose replacement.
    pub slot: SlotId,
    /// podCIDRs to set, first family first.
    pub pod_cidrs: Vec<IpNet>,
    /// Labels to set; the gate label comes with the same patch.
    pub labels: BTreeMap<String, String>,
    /// The taints that the node shall have, all others of people's making taken away (kubeadm's
    /// control-plane taint among them if it is not named here).
    pub taints: Vec<Taint>,
    /// DaemonSets that must have a ready pod on the node.
    pub daemon_sets: BTreeSet<ObjectRef>,
    /// CSI drivers that the node must list.
    pub csi_drivers: BTreeSet<String>,
    /// Resources that `allocatable` must name.
    pub resources: BTreeSet<String>,
    /// Seconds until all of it must hold.
    pub deadline_seconds: u64,
}

/// See [`Action::Fence`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fence {
    /// How strong.
    pub strength: FenceStrength,
    /// The old nodes.
    pub nodes: Vec<NodeRef>,
    /// What may be pending without holding up the fence.
    #[serde(default, skip_serializing_if = "ExpectedPending::is_empty")]
    pub expected: ExpectedPending,
}

/// Pods that the run neither made pending nor can help.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedPending {
    /// Pods that no node had room for before the run, as `namespace/name`.
    pub pods: BTreeSet<String>,
    /// Claims that stay behind on an old node by consent, as `namespace/claim`.
    pub claims: BTreeSet<String>,
}

impl ExpectedPending {
    fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.claims.is_empty()
    }
}

/// How strong a fence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FenceStrength {
    /// `PreferNoSchedule`.
    Prefer,
    /// `NoSchedule`; waits until nothing is pending that only the old side has room for.
    Forbid,
}

/// See [`Action::Soak`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Soak {
    /// Whose replacement.
    pub slot: SlotId,
    /// How long, in seconds. If the node stops being ready meanwhile the run pauses.
    pub seconds: u64,
}

/// See [`Action::Drain`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Which node.
    pub node: NodeRef,
    /// The rules.
    pub rules: DrainRules,
    /// Pods whose loss of an emptyDir is accepted, by [`crate::checks::pod_key`]: their controller
    /// (`ReplicaSet namespace/name`), or the pod itself if it has none.
    pub empty_dir_accepted: BTreeSet<String>,
    /// Pods that nobody makes again and whose end is accepted, by [`crate::checks::pod_key`].
    pub bare_accepted: BTreeSet<String>,
}

/// See [`Action::LeaveEtcd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaveEtcd {
    /// The old control plane.
    pub node: NodeRef,
    /// The control planes whose hosts may be asked, in order of preference: replacements first.
    pub through: Vec<NodeRef>,
}

/// See [`Action::RemoveObjects`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoveObjects {
    /// What this takes away, as a sentence of the plan.
    pub purpose: String,
    /// What is deleted, in order; each is gone before the next stage.
    pub stages: Vec<RemovalStage>,
}

/// Objects that are deleted together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovalStage {
    /// Single objects that were there when the plan was made.
    pub objects: Vec<ObjectId>,
    /// Every object of these kinds, including those made since: kinds that are Calico's alone.
    pub kinds: Vec<crate::object::Kind>,
    /// References that go whatever their incarnation, such as children that an operator makes again.
    pub references: Vec<ObjectRef>,
    /// Finalizers that nobody is left to clear, and that this stage takes off itself.
    pub orphaned_finalizers: BTreeSet<String>,
}

/// See [`Action::SetKubeProxyCidr`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetKubeProxyCidr {
    /// The ConfigMap.
    pub config: ObjectId,
    /// The DaemonSet to roll, if kube-proxy runs as one.
    pub daemon_set: Option<ObjectId>,
    /// The new value.
    pub cidrs: Vec<IpNet>,
}

/// See [`Action::RecordPodSubnet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordPodSubnet {
    /// The new value.
    pub cidrs: Vec<IpNet>,
}

/// See [`Action::RepairNetworkCondition`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairNetworkCondition {
    /// The nodes to look at.
    pub nodes: Vec<NodeRef>,
}

/// See [`Action::Verify`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Every Node's podCIDR must lie in these.
    pub network: Vec<IpNet>,
    /// Names of old nodes that must be gone.
    pub gone: BTreeSet<NodeName>,
    /// Slots whose replacements must be ready.
    pub slots: Vec<SlotId>,
    /// Groups and single objects of the old network that must be gone.
    pub removed_kinds: BTreeSet<crate::object::Kind>,
    /// Objects of the old network that must be gone.
    pub removed_objects: BTreeSet<ObjectRef>,
}
