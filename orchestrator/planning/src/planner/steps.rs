//! The steps that a migration consists of, in the order of its strategy.

use super::network::Network;
use super::{nodes, swap};
use crate::checks::Consent;
use crate::cidr;
use crate::cni::calico::detect::Install;
use crate::cni::calico::objects::Belongings;
use crate::cni::calico::{canal, removal, withdraw};
use crate::cni::flannel::config::NetConf;
use crate::cni::flannel::render;
use crate::ids::StepId;
use crate::intent::{Intent, Strategy};
use crate::late::NodeRef;
use crate::object::{Kind, Object, ObjectRef};
use crate::plan::action::{
    Action, Export, InstallObjects, RecordFlags, RecordPodSubnet, RepairNetworkCondition, SetFlags,
    SetKubeProxyCidr, SnapshotEtcd, Verify,
};
use crate::plan::{PlannedStep, Slot, Undo};
use crate::state::{ClusterState, HostAccess};
use replank_provider_protocol::Role;
use std::collections::{BTreeMap, BTreeSet};

/// What the steps are made from.
pub(super) struct Context<'a> {
    pub(super) state: &'a ClusterState,
    pub(super) intent: &'a Intent,
    pub(super) install: &'a Install,
    pub(super) calico: &'a Belongings,
    pub(super) network: &'a Network,
    pub(super) slots: &'a [Slot],
    pub(super) consents: &'a [Consent],
}

impl Context<'_> {
    /// The slots of control planes, in order.
    pub(super) fn control_planes(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|s| s.role == Role::ControlPlane)
    }
}

/// A list of steps in the making.
#[derive(Default)]
pub(super) struct Steps(Vec<PlannedStep>);

impl Steps {
    /// Adds a step behind the named ones; its own name.
    pub(super) fn add(&mut self, id: String, after: &[StepId], action: Action, undo: Undo) -> StepId {
        self.push(id, after, None, action, undo)
    }

    /// Adds a step of a slot.
    pub(super) fn push(
        &mut self,
        id: String,
        after: &[StepId],
        slot: Option<&Slot>,
        action: Action,
        undo: Undo,
    ) -> StepId {
        let id = StepId::new(id);
        self.0.push(PlannedStep {
            id: id.clone(),
            after: after.to_vec(),
            slot: slot.map(|s| s.id.clone()),
            action,
            undo,
        });
        id
    }

    fn then(&mut self, last: &mut Vec<StepId>, id: impl Into<String>, action: Action, undo: Undo) {
        let id = self.add(id.into(), last, action, undo);
        *last = vec![id];
    }
}

/// The node that goes with a slot.
pub(super) fn old(slot: &Slot) -> NodeRef {
    NodeRef::Old { slot: slot.id.clone(), name: slot.old.name.clone(), uid: slot.old.uid.clone() }
}

/// The node that comes with a slot.
pub(super) fn new(slot: &Slot) -> NodeRef {
    NodeRef::New { slot: slot.id.clone() }
}

/// Every step.
pub(super) fn all(context: &Context<'_>) -> Vec<PlannedStep> {
    let mut steps = Steps::default();
    let mut last = Vec::new();
    protect(context, &mut steps, &mut last);
    hold(context, &mut steps, &mut last);
    match context.intent.strategy {
        Strategy::Rolling => {
            withdraw_calico(context, &mut steps, &mut last);
            install_flannel(context, &mut steps, &mut last);
            nodes::replace_all(context, &mut steps, &mut last);
            allocate_again(context, &mut steps, &mut last);
            remove_calico(context, &mut steps, &mut last);
        }
        Strategy::Cutover => {
            restore_kube_proxy(context, &mut steps, &mut last);
            swap_everywhere(context, &mut steps, &mut last);
            remove_calico(context, &mut steps, &mut last);
            install_flannel(context, &mut steps, &mut last);
            nodes::replace_all(context, &mut steps, &mut last);
            allocate_again(context, &mut steps, &mut last);
        }
    }
    record_network(context, &mut steps, &mut last);
    finish(context, &mut steps, &mut last);
    steps.0
}

fn protect(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    let edited = [
        context.state.kubeadm.as_ref().map(|k| &k.object),
        context.state.kube_proxy.as_ref().map(|p| &p.config),
    ];
    let edited = edited.into_iter().flatten().map(|o| o.id.object.clone());
    let agents = context.install.agents.iter().map(|a| a.id.object.clone());
    let export = Export {
        kinds: context.calico.kinds.clone(),
        objects: context.calico.all().map(|id| id.object.clone()).chain(edited).chain(agents).collect(),
    };
    steps.then(last, "protect/export", Action::Export(export), Undo::Nothing);
    let reachable = context.control_planes().find(|slot| {
        context.state.nodes.get(&slot.old.name).is_some_and(|n| matches!(n.host, HostAccess::Reachable(_)))
    });
    if let Some(slot) = reachable {
        let act = SnapshotEtcd { node: old(slot), path: "/var/lib/replank/etcd-snapshot.db".into() };
        steps.then(last, "protect/etcd", Action::SnapshotEtcd(act), Undo::Nothing);
    }
}

fn held_flags(context: &Context<'_>, allocate: bool) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("allocate-node-cidrs".to_owned(), allocate.to_string()),
        ("cluster-cidr".to_owned(), cidr::join(&context.network.ranges)),
    ])
}

/// kubeadm's record first, since a joining control plane renders its flags from there.
fn hold(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    let record = RecordFlags { set: held_flags(context, false), remove: BTreeSet::new() };
    steps.then(last, "hold/record", Action::RecordControllerManagerFlags(record), Undo::Restore);
    for slot in context.control_planes() {
        let act = SetFlags { node: old(slot), set: held_flags(context, false) };
        steps.then(last, format!("hold/{}", slot.id), Action::SetControllerManagerFlags(act), Undo::Restore);
    }
}

fn withdraw_calico(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    let label = withdraw::label_old_nodes(context.state.nodes.values());
    steps.then(last, "withdraw/label", Action::PatchObjects(label), Undo::Restore);
    let pin = withdraw::pin_agents(context.state, context.install);
    steps.then(last, "withdraw/pin", Action::PatchObjects(pin), Undo::Restore);
    restore_kube_proxy(context, steps, last);
}

/// Before anything of Calico's goes: without it nobody would route Services.
fn restore_kube_proxy(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    if let Some(proxy) = withdraw::restore_kube_proxy(context.state) {
        steps.then(last, "withdraw/kube-proxy", Action::PatchObjects(proxy), Undo::Restore);
    }
}

fn install_flannel(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    let wanted = &context.intent.network;
    let objects = match &context.network.manifest {
        Some(manifest) => manifest.objects.clone(),
        None => render::objects(
            &NetConf {
                network: context.network.ranges.clone(),
                backend: wanted.backend,
                vni: canal::number_apart(context.state, context.install, wanted.backend),
                mtu: wanted.mtu,
            },
            wanted.image.as_deref(),
            &render::free_role(&context.state.inventory),
        ),
    };
    let install = InstallObjects { purpose: "Flannel, on admitted replacements only".into(), objects };
    steps.then(last, "flannel/install", Action::InstallObjects(install), Undo::Restore);
}

fn swap_everywhere(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    for slot in context.slots {
        let Some(node) = context.state.nodes.get(&slot.old.name) else { continue };
        let act = swap::step(node, old(slot));
        steps.then(last, swap::step_name(&slot.old.name), Action::SwapCni(act), Undo::Restore);
    }
}

fn remove_calico(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    for (name, act) in removal::steps(context.install, context.calico) {
        let reason =
            "Calico's objects are deleted here; its records of addresses can't be put back as they were.";
        steps.then(last, name, Action::RemoveObjects(act), Undo::PointOfNoReturn { reason: reason.into() });
    }
}

/// No Node outside the new network is left, so the controller-manager may allocate again. kubeadm's record first: who
/// joins meanwhile renders what is wanted from now on.
fn allocate_again(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    let record = RecordFlags { set: held_flags(context, true), remove: BTreeSet::new() };
    steps.then(last, "hand-back/flags", Action::RecordControllerManagerFlags(record), Undo::Restore);
    for slot in context.control_planes() {
        let act = SetFlags { node: new(slot), set: held_flags(context, true) };
        steps.then(
            last,
            format!("hand-back/{}", slot.id),
            Action::SetControllerManagerFlags(act),
            Undo::Restore,
        );
    }
}

/// kubeadm's and kube-proxy's records of the network; after the operator is gone, which degrades
/// when podSubnet leaves its pools.
fn record_network(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    let cidrs = context.network.ranges.clone();
    if let Some(proxy) = &context.state.kube_proxy {
        let act = SetKubeProxyCidr {
            config: proxy.config.id.clone(),
            daemon_set: proxy.daemon_set.as_ref().map(|d| d.id.clone()),
            cidrs: cidrs.clone(),
        };
        steps.then(last, "hand-back/kube-proxy", Action::SetKubeProxyCidr(act), Undo::Restore);
    }
    steps.then(
        last,
        "hand-back/pod-subnet",
        Action::RecordPodSubnet(RecordPodSubnet { cidrs }),
        Undo::Restore,
    );
    steps.then(
        last,
        "hand-back/record",
        Action::RecordControllerManagerFlags(recorded_again(context)),
        Undo::Restore,
    );
}

/// With podSubnet recorded, kubeadm renders both flags itself: only what the operator had written
/// there before stays, with the new values.
fn recorded_again(context: &Context<'_>) -> RecordFlags {
    let before = context.state.kubeadm.as_ref().map(|k| &k.controller_manager_args);
    let had = |flag: &String| before.is_some_and(|args| args.contains_key(flag));
    let (set, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
        held_flags(context, true).into_iter().partition(|(k, _)| had(k));
    RecordFlags { set, remove: gone.into_keys().collect() }
}

fn finish(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    let nodes = context.slots.iter().map(new).collect();
    let repair = RepairNetworkCondition { nodes };
    steps.then(last, "repair/network-condition", Action::RepairNetworkCondition(repair), Undo::Nothing);
    let verify = Verify {
        network: context.network.ranges.clone(),
        gone: context.slots.iter().map(|s| s.old.name.clone()).collect(),
        slots: context.slots.iter().map(|s| s.id.clone()).collect(),
        removed_kinds: context.calico.kinds.clone(),
        removed_objects: context.calico.all().map(|id| id.object.clone()).collect(),
    };
    steps.then(last, "verify", Action::Verify(verify), Undo::Nothing);
}

/// The cluster's DNS: the Deployment that kubeadm installs, or whatever carries its label.
pub(super) fn cluster_dns(state: &ClusterState) -> Option<&Object> {
    state.inventory.of("apps", "Deployment").find(|d| {
        d.id.object.namespace == "kube-system"
            && d.text("/spec/template/metadata/labels/k8s-app") == Some("kube-dns")
    })
}

/// Flannel's DaemonSet, ours or the user's.
pub(super) fn flannel_agents(context: &Context<'_>) -> Vec<ObjectRef> {
    match &context.network.manifest {
        Some(manifest) => manifest
            .objects
            .iter()
            .filter(|o| o.object.kind.kind == "DaemonSet")
            .map(|o| o.object.clone())
            .collect(),
        None => vec![ObjectRef::new(
            Kind::namespaced("apps", "v1", "DaemonSet", "daemonsets"),
            crate::cni::flannel::NAMESPACE,
            "kube-flannel-ds",
        )],
    }
}
