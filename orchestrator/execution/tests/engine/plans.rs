//! Plans made by hand.

use replank_planning::cni::UNADMITTED_TAINT;
use replank_planning::cni::flannel::config::NetConf;
use replank_planning::cni::flannel::render;
use replank_planning::ids::{SlotId, StepId};
use replank_planning::intent::{API_VERSION, Backend, Intent};
use replank_planning::late::NodeRef;
use replank_planning::object::{Kind, ObjectRef};
use replank_planning::plan::action::{
    Action, AdmitNode, CreateMachine, Drain, ExpectedPending, Fence, FenceStrength, InstallObjects, NodeAct,
    RecordFlags, SetFlags, SlotAct, SnapshotEtcd, Verify,
};
use replank_planning::plan::allocation::OldNode;
use replank_planning::plan::{Allocation, Binding, Plan, PlannedStep, Slot, Undo};
use replank_planning::state::{ClusterState, Taint, TaintEffect};
use replank_provider_protocol::{Keeping, Replacement};
use std::collections::{BTreeMap, BTreeSet};

/// A slot for a node, with the range `10.244.AT.0/24`.
pub fn slot(state: &ClusterState, name: &str, at: usize) -> Slot {
    let node = &state.nodes[&name.into()];
    Slot {
        id: SlotId::new(name),
        role: node.role,
        replacement: Replacement::Fresh,
        old: OldNode {
            name: node.name.clone(),
            uid: node.uid.clone(),
            machine: node.machine.as_ref().expect("the machine is known").id.clone(),
            keeping: Keeping::Stopped,
        },
        new: Allocation {
            machine_name: format!("{name}-r2"),
            pod_cidrs: vec![format!("10.244.{at}.0/24").parse().unwrap()],
            labels: BTreeMap::from([("example.com/rack".to_owned(), "7".to_owned())]),
            taints: Vec::new(),
        },
    }
}

pub fn old(slot: &Slot) -> NodeRef {
    NodeRef::Old { slot: slot.id.clone(), name: slot.old.name.clone(), uid: slot.old.uid.clone() }
}

/// A plan in the making.
pub struct Draft {
    pub slots: Vec<Slot>,
    steps: Vec<PlannedStep>,
    state: ClusterState,
}

impl Draft {
    pub fn new(state: ClusterState) -> Self {
        Self { slots: Vec::new(), steps: Vec::new(), state }
    }

    /// Adds a step behind the last one.
    pub fn then(&mut self, id: &str, slot: Option<&Slot>, action: Action, undo: Undo) {
        let after = self.steps.last().map(|s| s.id.clone()).into_iter().collect();
        let slot = slot.map(|s| s.id.clone());
        self.steps.push(PlannedStep { id: StepId::new(id), after, slot, action, undo });
    }

    /// Everything before the first node: flags held, Flannel installed.
    pub fn prepare(&mut self) {
        let control_plane = slot(&self.state, "cp1", 99);
        let set = BTreeMap::from([
            ("allocate-node-cidrs".to_owned(), "false".to_owned()),
            ("cluster-cidr".to_owned(), "10.244.0.0/16".to_owned()),
        ]);
        let save = SnapshotEtcd { node: old(&control_plane), path: "/var/lib/replank/etcd.db".into() };
        self.slots.push(control_plane.clone());
        self.then("protect/etcd", None, Action::SnapshotEtcd(save), Undo::Nothing);
        let record = RecordFlags { set: set.clone(), remove: BTreeSet::new() };
        self.then("hold/record", None, Action::RecordControllerManagerFlags(record), Undo::Restore);
        let flags = SetFlags { node: old(&control_plane), set };
        self.then("hold/cp1", None, Action::SetControllerManagerFlags(flags), Undo::Restore);
        let conf = NetConf {
            network: vec!["10.244.0.0/16".parse().unwrap()],
            backend: Backend::Vxlan,
            vni: None,
            mtu: None,
        };
        let install =
            InstallObjects { purpose: "Flannel".into(), objects: render::objects(&conf, None, render::ROLE) };
        self.then("flannel/install", None, Action::InstallObjects(install), Undo::Restore);
    }

    /// Replaces a worker.
    pub fn replace(&mut self, name: &str, at: usize) {
        let slot = slot(&self.state, name, at);
        let act = || SlotAct { slot: slot.id.clone() };
        let node = || NodeAct { node: old(&slot) };
        let step = |what: &str| format!("{name}/{what}");
        let unadmitted =
            Taint { key: UNADMITTED_TAINT.into(), value: String::new(), effect: TaintEffect::NoSchedule };
        let create = CreateMachine {
            slot: slot.id.clone(),
            endpoint: "api.story:6443".into(),
            register_with_taints: vec![unadmitted],
            deadline_seconds: 300,
        };
        let daemon_set = Kind::namespaced("apps", "v1", "DaemonSet", "daemonsets");
        let admit = AdmitNode {
            slot: slot.id.clone(),
            pod_cidrs: slot.new.pod_cidrs.clone(),
            labels: slot.new.labels.clone(),
            taints: Vec::new(),
            daemon_sets: [("kube-flannel", "kube-flannel-ds"), ("kube-system", "kube-proxy")]
                .into_iter()
                .map(|(namespace, name)| ObjectRef::new(daemon_set.clone(), namespace, name))
                .collect(),
            csi_drivers: BTreeSet::new(),
            resources: BTreeSet::from(["cpu".to_owned()]),
            deadline_seconds: 300,
        };
        let (strength, expected) = (FenceStrength::Prefer, ExpectedPending::default());
        let fence = Fence { strength, nodes: vec![old(&slot)], expected };
        let drain = Drain {
            node: old(&slot),
            rules: self.intent().drain,
            empty_dir_accepted: BTreeSet::new(),
            bare_accepted: BTreeSet::new(),
        };
        let undo = || Undo::Restore;
        self.then(&step("snapshot"), Some(&slot), Action::SnapshotMachine(act()), Undo::Nothing);
        self.then(&step("create"), Some(&slot), Action::CreateMachine(create), undo());
        self.then(&step("admit"), Some(&slot), Action::AdmitNode(admit), undo());
        self.then(&step("fence"), Some(&slot), Action::Fence(fence), undo());
        self.then(&step("cordon"), Some(&slot), Action::Cordon(node()), undo());
        self.then(&step("drain"), Some(&slot), Action::Drain(drain), Undo::Nothing);
        self.then(&step("detach"), Some(&slot), Action::DetachVolumes(node()), Undo::Nothing);
        self.then(&step("stop"), Some(&slot), Action::StopMachine(act()), undo());
        self.then(&step("delete-node"), Some(&slot), Action::DeleteNode(node()), undo());
        self.slots.push(slot);
    }

    /// Cordons and drains a worker, no more.
    pub fn drain_only(&mut self, name: &str, rules: replank_planning::intent::DrainRules) {
        let slot = slot(&self.state, name, 1);
        let node = NodeAct { node: old(&slot) };
        let drain = Drain {
            node: old(&slot),
            rules,
            empty_dir_accepted: BTreeSet::new(),
            bare_accepted: BTreeSet::new(),
        };
        self.then("cordon", Some(&slot), Action::Cordon(node), Undo::Restore);
        self.then("drain", Some(&slot), Action::Drain(drain), Undo::Nothing);
        self.slots.push(slot);
    }

    /// Looks at what was replaced.
    pub fn verify(&mut self) {
        let replaced: Vec<Slot> = self.slots.iter().filter(|s| s.id.as_str() != "cp1").cloned().collect();
        let verify = Verify {
            // Nodes that this plan leaves alone keep their ranges: everywhere is good enough.
            network: vec!["0.0.0.0/0".parse().unwrap()],
            gone: replaced.iter().map(|s| s.old.name.clone()).collect(),
            slots: replaced.iter().map(|s| s.id.clone()).collect(),
            removed_kinds: BTreeSet::new(),
            removed_objects: BTreeSet::new(),
        };
        self.then("verify", None, Action::Verify(verify), Undo::Nothing);
    }

    fn intent(&self) -> Intent {
        Intent::default()
    }

    pub fn plan(self) -> Plan {
        Plan {
            api_version: API_VERSION.into(),
            kind: "Plan".into(),
            tool_version: "test".into(),
            cluster: Binding { uid: self.state.uid.clone(), facts: BTreeMap::new() },
            intent: Intent::default(),
            findings: Vec::new(),
            consents: Vec::new(),
            slots: self.slots,
            steps: self.steps,
        }
    }
}

/// Only what comes before the first node.
pub fn holding(state: ClusterState) -> Plan {
    let mut draft = Draft::new(state);
    draft.prepare();
    draft.plan()
}

/// Replaces these workers, one after the other.
pub fn replacing(state: ClusterState, workers: &[&str]) -> Plan {
    let mut draft = Draft::new(state);
    draft.prepare();
    for (at, worker) in workers.iter().enumerate() {
        draft.replace(worker, at + 1);
    }
    draft.verify();
    draft.plan()
}

/// The same plan with a consent to the end of a pod that nobody makes again.
pub fn accepting_bare(mut plan: Plan, key: &str) -> Plan {
    for step in &mut plan.steps {
        if let Action::Drain(drain) = &mut step.action {
            drain.bare_accepted.insert(key.to_owned());
        }
    }
    plan
}
