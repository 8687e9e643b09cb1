//! The steps of the nodes: the canary alone, the other workers, the control planes one at a time.

use super::steps::{Context, Steps, cluster_dns, flannel_agents, new, old};
use crate::checks::Code;
use crate::cni::UNADMITTED_TAINT;
use crate::ids::StepId;
use crate::intent::Strategy;
use crate::late::NodeRef;
use crate::object::{Kind, ObjectRef};
use crate::plan::action::{
    Action, AdmitNode, AnchorDeployment, CreateMachine, Drain, ExpectedPending, Fence, FenceStrength,
    LeaveEtcd, NodeAct, ObjectPatch, PatchObjects, SlotAct, Soak,
};
use crate::plan::{Slot, Undo};
use crate::state::{Owner, PodPhase, PodState, PodVolume, Taint, TaintEffect};
use replank_provider_protocol::{Keeping, Replacement, Role, SnapshotKind};
use serde_json::json;
use std::collections::BTreeSet;

/// A machine that has not joined by then has a fault; cloud machines take a few minutes.
const JOIN_DEADLINE_SECONDS: u64 = 900;
/// Images of DaemonSets are pulled in this time.
const ADMIT_DEADLINE_SECONDS: u64 = 900;

/// Replaces every node.
pub(super) fn replace_all(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    let (workers, control_planes): (Vec<&Slot>, Vec<&Slot>) =
        context.slots.iter().partition(|s| s.role == Role::Worker);
    let surge = usize::try_from(context.intent.nodes.max_surge.max(1)).unwrap_or(1);
    let mut ends: Vec<StepId> = Vec::new();
    let mut gate = last.clone();
    for (at, slot) in workers.iter().chain(&control_planes).enumerate() {
        let serial = slot.role == Role::ControlPlane;
        let after = match at {
            0 => gate.clone(),
            // Everything before a control plane must be over; a worker waits for a free place.
            _ if serial => gate.iter().chain(ends.iter().filter(|e| !gate.contains(e))).cloned().collect(),
            _ => {
                let place = at.checked_sub(surge).and_then(|n| ends.get(n)).filter(|end| !gate.contains(end));
                gate.iter().chain(place).cloned().collect()
            }
        };
        let end = if at == 0 {
            let end = canary(context, steps, slot, &after);
            gate = vec![end.clone()];
            gate = second_fence(context, steps, &gate);
            end
        } else {
            replace(context, steps, slot, &after)
        };
        ends.push(end);
        if serial {
            ends.drain(..ends.len() - 1);
            gate.clone_from(&ends);
        }
    }
    *last = if control_planes.is_empty() { gate.into_iter().chain(ends).collect() } else { ends };
    last.dedup();
    release_dns(context, steps, last);
}

/// The first node: with it comes the fence, a DNS replica on the new side, and the soak.
fn canary(context: &Context<'_>, steps: &mut Steps, slot: &Slot, after: &[StepId]) -> StepId {
    match slot.replacement {
        Replacement::Fresh => {
            let last = arrive(context, steps, slot, after);
            let last = begin_new_side(context, steps, last);
            let last = empty(context, steps, slot, &[last]);
            let last = soak(context, steps, slot, last);
            leave(context, steps, slot, last)
        }
        // There is no new side before the machine has left the old one.
        Replacement::InPlace => {
            let last = rejoin(context, steps, slot, after);
            let last = begin_new_side(context, steps, last);
            soak(context, steps, slot, last)
        }
    }
}

/// The fence, and a replica of the cluster's DNS.
fn begin_new_side(context: &Context<'_>, steps: &mut Steps, mut last: StepId) -> StepId {
    let strength = match context.intent.strategy {
        Strategy::Rolling => FenceStrength::Prefer,
        // Old nodes can give no pod a network any more.
        Strategy::Cutover => FenceStrength::Forbid,
    };
    last = steps.add("fence/first".into(), &[last], fence(context, strength), Undo::Restore);
    if let Some(dns) = cluster_dns(context.state) {
        let act = AnchorDeployment { deployment: dns.id.clone(), replicas: replicas(dns) + 1 };
        last = steps.add("anchor/dns".into(), &[last], Action::AnchorDeployment(act), Undo::Restore);
    }
    last
}

fn soak(context: &Context<'_>, steps: &mut Steps, slot: &Slot, after: StepId) -> StepId {
    let act = Soak { slot: slot.id.clone(), seconds: context.intent.nodes.canary_soak_seconds };
    steps.push(format!("{}/soak", slot.id), &[after], Some(slot), Action::Soak(act), Undo::Nothing)
}

/// From here on the new side has room for what is pending.
fn second_fence(context: &Context<'_>, steps: &mut Steps, gate: &[StepId]) -> Vec<StepId> {
    match context.intent.strategy {
        Strategy::Rolling if context.slots.len() > 1 => {
            vec![steps.add("fence/second".into(), gate, fence(context, FenceStrength::Forbid), Undo::Restore)]
        }
        Strategy::Rolling | Strategy::Cutover => gate.to_vec(),
    }
}

fn fence(context: &Context<'_>, strength: FenceStrength) -> Action {
    let second = strength == FenceStrength::Forbid && context.intent.strategy == Strategy::Rolling;
    let in_place = context.slots.first().is_some_and(|slot| slot.replacement == Replacement::InPlace);
    // The canary's old node is gone by then.
    let gone = usize::from(second || in_place);
    let nodes = context.slots.iter().skip(gone).map(old).collect();
    Action::Fence(Fence { strength, nodes, expected: expected_pending(context) })
}

/// What was pending before the run, and what a claim left behind by consent keeps pending.
fn expected_pending(context: &Context<'_>) -> ExpectedPending {
    let pods = &context.state.pods;
    let accepted = accepted(context, Code::LocalVolume);
    let unplaced = |pod: &&PodState| pod.phase == PodPhase::Pending && pod.node.is_none();
    let left_behind = |pod: &PodState| {
        let claims: Vec<String> = pod
            .volumes
            .iter()
            .filter_map(|volume| match volume {
                PodVolume::Claim { claim, local_to: Some(_) } => Some(format!("{}/{claim}", pod.namespace)),
                _ => None,
            })
            .collect();
        claims
    };
    ExpectedPending {
        pods: pods.iter().filter(unplaced).map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect(),
        claims: pods
            .iter()
            .filter(|pod| accepted.contains(&format!("Pod {}/{}", pod.namespace, pod.name)))
            .flat_map(left_behind)
            .collect(),
    }
}

fn replace(context: &Context<'_>, steps: &mut Steps, slot: &Slot, after: &[StepId]) -> StepId {
    match slot.replacement {
        Replacement::Fresh => {
            let last = arrive(context, steps, slot, after);
            let last = empty(context, steps, slot, &[last]);
            leave(context, steps, slot, last)
        }
        Replacement::InPlace => rejoin(context, steps, slot, after),
    }
}

/// The same machine leaves and joins again: its Node goes before it comes.
fn rejoin(context: &Context<'_>, steps: &mut Steps, slot: &Slot, after: &[StepId]) -> StepId {
    let mut after = snapshot(context, steps, slot, after);
    if slot.role == Role::ControlPlane {
        let act = Action::KeepHostFiles(SlotAct { slot: slot.id.clone() });
        after = vec![steps.push(format!("{}/keep-files", slot.id), &after, Some(slot), act, Undo::Nothing)];
    }
    let last = empty(context, steps, slot, &after);
    let last = leave(context, steps, slot, last);
    let act = Action::ForgetPods(NodeAct { node: old(slot) });
    let last = steps.push(format!("{}/forget-pods", slot.id), &[last], Some(slot), act, Undo::Nothing);
    join(context, steps, slot, &[last])
}

/// Snapshot, machine, admission.
fn arrive(context: &Context<'_>, steps: &mut Steps, slot: &Slot, after: &[StepId]) -> StepId {
    let after = snapshot(context, steps, slot, after);
    join(context, steps, slot, &after)
}

fn snapshot(context: &Context<'_>, steps: &mut Steps, slot: &Slot, after: &[StepId]) -> Vec<StepId> {
    if context.state.provider.as_ref().is_none_or(|p| p.snapshot == SnapshotKind::None) {
        return after.to_vec();
    }
    let act = Action::SnapshotMachine(SlotAct { slot: slot.id.clone() });
    vec![steps.push(format!("{}/snapshot", slot.id), after, Some(slot), act, Undo::Nothing)]
}

/// Machine, admission.
fn join(context: &Context<'_>, steps: &mut Steps, slot: &Slot, after: &[StepId]) -> StepId {
    let create = CreateMachine {
        slot: slot.id.clone(),
        endpoint: endpoint(context),
        register_with_taints: vec![Taint {
            key: UNADMITTED_TAINT.into(),
            value: String::new(),
            effect: TaintEffect::NoSchedule,
        }],
        deadline_seconds: JOIN_DEADLINE_SECONDS,
    };
    let undo = match slot.replacement {
        Replacement::Fresh => Undo::Restore,
        Replacement::InPlace => {
            Undo::PointOfNoReturn { reason: "this very machine is cleaned here, to be joined again.".into() }
        }
    };
    let act = Action::CreateMachine(create);
    let created = steps.push(format!("{}/create", slot.id), after, Some(slot), act, undo);
    let admit = Action::AdmitNode(admission(context, slot));
    let mut last = steps.push(format!("{}/admit", slot.id), &[created], Some(slot), admit, Undo::Restore);
    if slot.role == Role::ControlPlane && balanced(context) {
        let act = Action::RegisterControlPlane(SlotAct { slot: slot.id.clone() });
        last = steps.push(format!("{}/register", slot.id), &[last], Some(slot), act, Undo::Restore);
    }
    last
}

fn endpoint(context: &Context<'_>) -> String {
    let endpoint =
        context.state.kubeadm.as_ref().map(|k| k.control_plane_endpoint.as_str()).unwrap_or_default();
    let host_ends = endpoint.rfind(']').map_or(0, |at| at + 1);
    // kubeadm's own default port, where the endpoint names none.
    if endpoint[host_ends..].contains(':') { endpoint.to_owned() } else { format!("{endpoint}:6443") }
}

fn balanced(context: &Context<'_>) -> bool {
    context.state.provider.as_ref().is_some_and(|p| p.load_balancer)
}

fn admission(context: &Context<'_>, slot: &Slot) -> AdmitNode {
    let node = context.state.nodes.get(&slot.old.name);
    let drivers = node.map(|n| n.csi_drivers.clone()).unwrap_or_default();
    AdmitNode {
        slot: slot.id.clone(),
        pod_cidrs: slot.new.pod_cidrs.clone(),
        labels: slot.new.labels.clone(),
        taints: slot.new.taints.clone(),
        daemon_sets: daemon_sets(context, slot).into_iter().chain(flannel_agents(context)).collect(),
        csi_drivers: drivers.into_iter().filter(|d| !d.ends_with(".tigera.io")).collect(),
        resources: node.map(|n| n.allocatable.keys().cloned().collect()).unwrap_or_default(),
        deadline_seconds: ADMIT_DEADLINE_SECONDS,
    }
}

/// The DaemonSets with a ready pod on the old node, Calico's left out.
fn daemon_sets(context: &Context<'_>, slot: &Slot) -> BTreeSet<ObjectRef> {
    let kind = Kind::namespaced("apps", "v1", "DaemonSet", "daemonsets");
    let here = context.state.pods.iter().filter(|p| p.node.as_ref() == Some(&slot.old.name) && p.ready);
    here.filter_map(|pod| match &pod.owner {
        Owner::DaemonSet { name } => Some(ObjectRef::new(kind.clone(), &pod.namespace, name)),
        _ => None,
    })
    .filter(|set| !context.calico.holds(set))
    .collect()
}

/// Cordon, drain, volumes.
fn empty(context: &Context<'_>, steps: &mut Steps, slot: &Slot, after: &[StepId]) -> StepId {
    let act = || NodeAct { node: old(slot) };
    let name = |step: &str| format!("{}/{step}", slot.id);
    let cordoned = steps.push(name("cordon"), after, Some(slot), Action::Cordon(act()), Undo::Restore);
    let drain = Drain {
        node: old(slot),
        rules: context.intent.drain.clone(),
        empty_dir_accepted: accepted(context, Code::EmptyDir),
        bare_accepted: accepted(context, Code::BarePod),
    };
    let drained = steps.push(name("drain"), &[cordoned], Some(slot), Action::Drain(drain), Undo::Nothing);
    steps.push(name("detach"), &[drained], Some(slot), Action::DetachVolumes(act()), Undo::Nothing)
}

/// What was consented to; and Calico's own workloads, which go anyway.
fn accepted(context: &Context<'_>, code: Code) -> BTreeSet<String> {
    let consented = context.consents.iter().filter(|c| c.code == code).filter_map(|c| c.object.clone());
    let situation = crate::checks::Situation {
        state: context.state,
        intent: context.intent,
        detection: &crate::cni::calico::detect::Detection::Nothing,
        calico: context.calico,
    };
    let own = context.state.pods.iter().filter(|p| situation.is_calicos(p)).map(crate::checks::pod_key);
    consented.chain(own).collect()
}

/// etcd, the machine, the Node.
fn leave(context: &Context<'_>, steps: &mut Steps, slot: &Slot, after: StepId) -> StepId {
    let name = |step: &str| format!("{}/{step}", slot.id);
    let mut last = after;
    if slot.role == Role::ControlPlane {
        if balanced(context) {
            let act = Action::DeregisterControlPlane(SlotAct { slot: slot.id.clone() });
            last = steps.push(name("deregister"), &[last], Some(slot), act, Undo::Restore);
        }
        let act = LeaveEtcd { node: old(slot), through: through(context, slot) };
        let reason = "the old control plane's etcd member is removed here; its data can't rejoin.";
        let undo = Undo::PointOfNoReturn { reason: reason.into() };
        last = steps.push(name("leave-etcd"), &[last], Some(slot), Action::LeaveEtcd(act), undo);
    }
    let undo = match slot.old.keeping {
        Keeping::Stopped => Undo::Restore,
        Keeping::Lost => Undo::PointOfNoReturn { reason: "this machine is lost when it stops.".into() },
    };
    let stop = Action::StopMachine(SlotAct { slot: slot.id.clone() });
    let stopped = steps.push(name("stop"), &[last], Some(slot), stop, undo);
    let delete = Action::DeleteNode(NodeAct { node: old(slot) });
    steps.push(name("delete-node"), &[stopped], Some(slot), delete, Undo::Restore)
}

/// Replacements that exist by then, the newest first; then the control planes that are still old.
fn through(context: &Context<'_>, leaving: &Slot) -> Vec<NodeRef> {
    let slots: Vec<&Slot> = context.control_planes().collect();
    let at = slots.iter().position(|s| s.id == leaving.id).unwrap_or(0);
    let (replaced, rest) = slots.split_at((at + 1).min(slots.len()));
    replaced.iter().rev().map(|s| new(s)).chain(rest.iter().map(|s| old(s))).collect()
}

fn replicas(deployment: &crate::object::Object) -> u32 {
    deployment
        .at("/spec/replicas")
        .and_then(serde_json::Value::as_u64)
        .and_then(|n| n.try_into().ok())
        .unwrap_or(1)
}

/// DNS had one replica more while there were two sides.
fn release_dns(context: &Context<'_>, steps: &mut Steps, last: &mut Vec<StepId>) {
    let Some(dns) = cluster_dns(context.state) else { return };
    let act = PatchObjects {
        purpose: "give the cluster's DNS its number of replicas back".into(),
        patches: vec![ObjectPatch {
            target: dns.id.clone(),
            patch: json!({"spec": {"replicas": replicas(dns)}}),
        }],
        wait_for: vec![dns.id.object.clone()],
    };
    *last = vec![steps.add("release/dns".into(), last, Action::PatchObjects(act), Undo::Restore)];
}
