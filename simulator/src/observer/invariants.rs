//! What must hold at every moment of a run.

use super::{Violation, budgets};
use crate::machines::{Datacenter, Glance, MachineState};
use crate::schema::Resource;
use crate::schema::builtin::{NODES, PODS};
use crate::server::{Changes, Direct, Event, Server};
use ipnet::IpNet;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The versions in which Calico keeps its blocks: its own records, and from 3.32 on the API's kinds.
const BLOCKS: [&str; 2] = ["crd.projectcalico.org/v1", "projectcalico.org/v3"];

/// Watches a cluster while a run goes on.
pub struct Observer {
    direct: Direct,
    datacenter: Datacenter,
    changes: Changes,
    /// How many nodes were ready at the beginning.
    ready_at_first: usize,
    /// Nodes that were ready once.
    known: BTreeSet<String>,
    /// Those of them whose machine died and that were not ready since.
    lost: BTreeSet<String>,
    /// The Nodes of machines, by their ids: a machine that is gone can't be asked.
    node_of: BTreeMap<String, String>,
    /// How many effects on machines were looked at.
    acts: usize,
    seen: BTreeSet<Violation>,
    /// Whether two machines of one name were seen running.
    doubled: bool,
}

impl Observer {
    /// An observer of everything from now on.
    pub fn new(server: &Server, datacenter: &Datacenter) -> Self {
        let direct = server.direct("observer");
        let mut observer = Self {
            changes: direct.changes(),
            datacenter: datacenter.clone(),
            ready_at_first: ready_nodes(&direct).len(),
            known: BTreeSet::new(),
            lost: BTreeSet::new(),
            node_of: BTreeMap::new(),
            acts: *datacenter.acts().borrow(),
            seen: BTreeSet::new(),
            doubled: false,
            direct,
        };
        observer.know_nodes();
        observer.known = ready_nodes(&observer.direct);
        observer
    }

    /// Watches until something is seen from which no cluster goes on: two machines of one name, which
    /// fight over one Node. Cancel-safe: what was seen is kept.
    pub async fn watch(&mut self) {
        let mut etcd = self.datacenter.etcd().watch();
        let mut acts = self.datacenter.acts();
        self.acts();
        while !self.doubled {
            tokio::select! {
                biased;
                events = self.changes.next() => self.look(&events),
                Ok(()) = acts.changed() => self.acts(),
                changed = etcd.changed() => {
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                    self.etcd();
                }
            }
        }
    }

    /// What was seen broken so far.
    pub fn violations(&mut self) -> Vec<Violation> {
        let rest = self.changes.ready();
        self.look(&rest);
        self.acts();
        self.seen.iter().cloned().collect()
    }

    fn look(&mut self, events: &[Event]) {
        let nodes = |event: &&Event| is(event, &NODES);
        let spec_changed = |event: &Event| part(event, "/spec/podCIDRs");
        let about_nodes: Vec<&Event> = events.iter().filter(nodes).collect();
        let manager_changed = events.iter().any(|event| {
            is(event, &PODS)
                && event.object()["metadata"]["labels"]["component"] == "kube-controller-manager"
                && part(event, "/spec")
        });
        let ranges_changed = about_nodes.iter().any(|event| spec_changed(event));
        if manager_changed || ranges_changed {
            self.controller_manager();
        }
        if manager_changed || ranges_changed || events.iter().any(is_block) {
            self.ranges();
        }
        for event in &about_nodes {
            self.node_deleted(event);
        }
        if about_nodes.iter().any(|event| part(event, "/status/conditions")) {
            self.machines();
        }
        if about_nodes.iter().any(|event| readiness_changed(event)) {
            self.readiness();
        }
    }

    /// No machine is stopped or destroyed under pods that a budget speaks for.
    fn acts(&mut self) {
        let acts = self.datacenter.effects_after(self.acts);
        self.acts += acts.len();
        self.know_nodes();
        for act in acts.iter().filter(|act| ["stop", "delete"].contains(&act.effect.as_str())) {
            let Some(node) = self.node_of.get(&act.subject) else { continue };
            let what = format!("the machine of Node {node} was to {}", act.effect);
            self.none_held(&node.clone(), &what);
        }
    }

    /// replank deletes no Node under such pods: they end with it.
    fn node_deleted(&mut self, event: &Event) {
        if event.new.is_none() && event.client.starts_with("replank") {
            let node = text(event.object(), "/metadata/name").to_owned();
            self.none_held(&node, &format!("Node {node} was deleted"));
        }
    }

    fn none_held(&mut self, node: &str, what: &str) {
        for held in budgets::held_on(&self.direct, node) {
            self.tell("pdb", format!("{what} under {held}"));
        }
    }

    fn know_nodes(&mut self) {
        self.node_of.extend(self.datacenter.glances(|machine| Some((machine.id.to_owned(), machine.node?))));
    }

    /// No two machines of one name run.
    fn machines(&mut self) {
        let mut names = BTreeSet::new();
        let running =
            |machine: Glance<'_>| (machine.state == MachineState::Running).then(|| machine.name.to_owned());
        for name in self.datacenter.glances(running) {
            if names.insert(name.clone()) {
                continue;
            }
            self.doubled = true;
            self.tell("effect-once", format!("machine {name} was made twice"));
            self.tell("no-orphan", format!("two machines are named {name}, and one of them is no Node's"));
        }
    }

    fn tell(&mut self, invariant: &'static str, seen: String) {
        self.seen.insert(Violation { invariant, seen });
    }

    /// Every controller-manager would start again with the flags that it has now.
    fn controller_manager(&mut self) {
        let nodes = self.direct.list(&NODES, None);
        let pods = self.direct.list(&PODS, Some("kube-system"));
        let managers =
            pods.iter().filter(|p| p["metadata"]["labels"]["component"] == "kube-controller-manager");
        let mut found = Vec::new();
        for manager in managers {
            let flag = |name: &str| flag_of(manager, name);
            if flag("allocate-node-cidrs").as_deref() != Some("true") {
                continue;
            }
            let network = parse(&flag("cluster-cidr").unwrap_or_default());
            for node in &nodes {
                if let Some(outside) =
                    ranges_of(node).into_iter().find(|range| !network.iter().any(|n| n.contains(range)))
                {
                    found.push(format!(
                        "{} would exit at its next start: Node {} has {outside}, outside {}",
                        text(manager, "/metadata/name"),
                        text(node, "/metadata/name"),
                        flag("cluster-cidr").unwrap_or_default()
                    ));
                }
            }
        }
        for seen in found {
            self.tell("controller-manager-would-start", seen);
        }
    }

    /// No two Nodes' ranges meet, and none that is new meets one of Calico's blocks.
    fn ranges(&mut self) {
        let nodes = self.direct.list(&NODES, None);
        let mut given: Vec<(String, IpNet)> = Vec::new();
        let mut found = Vec::new();
        for node in &nodes {
            let name = text(node, "/metadata/name");
            for range in ranges_of(node) {
                if let Some((other, taken)) = given.iter().find(|(_, taken)| meet(taken, &range)) {
                    found.push(format!("Node {name} has {range} and Node {other} has {taken}"));
                }
                given.push((name.to_owned(), range));
            }
        }
        let gated =
            |node: &&crate::server::Object| node["metadata"]["labels"]["replank.dev/network"] == "flannel";
        let blocks = self.blocks();
        for node in nodes.iter().filter(gated) {
            for range in ranges_of(node) {
                if let Some(block) = blocks.iter().find(|block| meet(block, &range)) {
                    found.push(format!(
                        "Node {} has {range}, and Calico uses {block}",
                        text(node, "/metadata/name")
                    ));
                }
            }
        }
        for seen in found {
            self.tell("pod-cidr-disjoint", seen);
        }
    }

    fn blocks(&self) -> Vec<IpNet> {
        let kinds = BLOCKS.iter().filter_map(|version| self.direct.resource(version, "IPAMBlock"));
        let blocks = kinds.flat_map(|kind| self.direct.list(&kind, None));
        blocks.filter_map(|block| text(&block, "/spec/cidr").parse().ok()).collect()
    }

    /// Never fewer nodes that are ready and take pods than at the beginning: a replacement is let in
    /// before its node is cordoned. A node whose machine died by itself is nobody's doing.
    fn readiness(&mut self) {
        let ready = ready_nodes(&self.direct);
        let died = |machine: Glance<'_>| machine.node.filter(|_| machine.state == MachineState::Failed);
        self.lost.extend(self.datacenter.glances(died).into_iter().filter(|node| self.known.contains(node)));
        self.lost.retain(|node| !ready.contains(node) && self.direct.get(&NODES, "", node).is_some());
        if ready.len() + self.lost.len() < self.ready_at_first {
            let seen = format!("fewer than the {} nodes of the beginning were ready", self.ready_at_first);
            self.tell("ready-nodes", seen);
        }
        self.known.extend(ready);
    }

    /// etcd has a majority, with every member counted as lost that does not run.
    fn etcd(&mut self) {
        let members = self.datacenter.etcd().members();
        let voters = members.iter().filter(|member| !member.learner);
        let up = voters.clone().filter(|member| member.up).count();
        let voters = voters.count();
        if voters > 0 && up * 2 <= voters {
            self.tell("etcd-quorum", format!("{up} of {voters} voters ran"));
        }
    }
}

/// Whether an object became something else at a place; a new or gone one did.
fn part(event: &Event, pointer: &str) -> bool {
    match (&event.old, &event.new) {
        (Some(old), Some(new)) => old.pointer(pointer) != new.pointer(pointer),
        _ => true,
    }
}

/// Whether a node became one that is ready and takes pods, or stopped being one.
fn readiness_changed(event: &Event) -> bool {
    let was = event.old.as_ref().is_some_and(|node| takes_pods(node));
    let is = event.new.as_ref().is_some_and(|node| takes_pods(node));
    was != is
}

fn is(event: &Event, resource: &Resource) -> bool {
    event.resource.plural == resource.plural && event.resource.group == resource.group
}

/// Whether one of Calico's blocks came or changed: it takes addresses whenever its agents want some.
fn is_block(event: &Event) -> bool {
    event.resource.kind == "IPAMBlock" && part(event, "/spec/cidr")
}

/// Whether a node is ready and takes pods.
fn takes_pods(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    node["spec"]["unschedulable"] != true
        && conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// The nodes that are ready and take pods.
fn ready_nodes(direct: &Direct) -> BTreeSet<String> {
    let nodes = direct.list(&NODES, None);
    nodes.iter().filter(|node| takes_pods(node)).map(|node| text(node, "/metadata/name").to_owned()).collect()
}

fn ranges_of(node: &Value) -> Vec<IpNet> {
    let ranges = node["spec"]["podCIDRs"].as_array();
    ranges.into_iter().flatten().filter_map(|range| range.as_str()?.parse().ok()).collect()
}

fn parse(list: &str) -> Vec<IpNet> {
    list.split(',').filter_map(|range| range.trim().parse().ok()).collect()
}

fn meet(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A flag of a pod's first container.
fn flag_of(pod: &Value, name: &str) -> Option<String> {
    let container = &pod["spec"]["containers"][0];
    let words =
        ["command", "args"].into_iter().flat_map(|key| container[key].as_array().into_iter().flatten());
    let prefix = format!("--{name}=");
    words
        .filter_map(Value::as_str)
        .filter_map(|word| word.strip_prefix(&prefix))
        .next_back()
        .map(str::to_owned)
}
