//! The scheduler's picture of nodes and of the pods on them.

use super::quantity::Amounts;
use crate::controllers::objects::{Key, controller_of, items, key_of, name_of, text};
use crate::controllers::workloads::pods::{is_finished, node_of};
use crate::server::Object;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A port that a pod takes on its host: protocol and number.
pub(super) type Port = (String, i64);

/// A pod as far as scheduling is concerned.
#[derive(Clone, Debug)]
pub(super) struct PodInfo {
    pub(super) pod: Object,
    pub(super) requests: Amounts,
    pub(super) ports: Vec<Port>,
    pub(super) owner: String,
}

impl PodInfo {
    pub(super) fn of(pod: &Object) -> Self {
        let owner = controller_of(pod).map_or("", |owner| text(owner, "/uid"));
        Self { pod: pod.clone(), requests: Amounts::of_pod(pod), ports: ports(pod), owner: owner.to_owned() }
    }

    /// Terms of this sort that the pod requires.
    pub(super) fn required(&self, sort: &str) -> &[Value] {
        let path = format!("/spec/affinity/{sort}/requiredDuringSchedulingIgnoredDuringExecution");
        items(&self.pod, &path)
    }
}

fn ports(pod: &Value) -> Vec<Port> {
    let containers = items(pod, "/spec/containers").iter();
    containers
        .flat_map(|container| items(container, "/ports"))
        .filter_map(|port| {
            let number = port["hostPort"].as_i64().filter(|number| *number > 0)?;
            Some((port["protocol"].as_str().unwrap_or("TCP").to_owned(), number))
        })
        .collect()
}

/// A node and what is on it.
#[derive(Clone, Debug)]
pub(super) struct NodeInfo {
    pub(super) node: Object,
    pub(super) room: Amounts,
    pub(super) used: Amounts,
    pub(super) pods: BTreeMap<Key, PodInfo>,
    pub(super) ports: BTreeMap<Port, usize>,
    pub(super) owners: BTreeMap<String, usize>,
}

impl NodeInfo {
    fn new(node: Object) -> Self {
        let room = Amounts::read(&node["status"]["allocatable"]);
        Self {
            node,
            room,
            used: Amounts::default(),
            pods: BTreeMap::new(),
            ports: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.node["metadata"]["labels"].get(key).and_then(Value::as_str)
    }

    fn add(&mut self, key: Key, info: PodInfo) {
        self.used.add(&info.requests, 1);
        for port in &info.ports {
            *self.ports.entry(port.clone()).or_default() += 1;
        }
        *self.owners.entry(info.owner.clone()).or_default() += 1;
        self.pods.insert(key, info);
    }

    fn remove(&mut self, key: &Key) {
        let Some(info) = self.pods.remove(key) else { return };
        self.used.add(&info.requests, -1);
        for port in &info.ports {
            if let Some(count) = self.ports.get_mut(port) {
                *count -= 1;
                if *count == 0 {
                    self.ports.remove(port);
                }
            }
        }
        if let Some(count) = self.owners.get_mut(&info.owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&info.owner);
            }
        }
    }
}

/// All nodes, and where each pod is.
#[derive(Default)]
pub(super) struct Cache {
    pub(super) nodes: BTreeMap<String, NodeInfo>,
    /// Pods on nodes that aren't known (yet).
    strays: BTreeMap<String, BTreeMap<Key, PodInfo>>,
    place: BTreeMap<Key, String>,
    /// Pods that keep others away.
    pub(super) repelling: BTreeSet<Key>,
}

impl Cache {
    /// Takes in a node's newest version.
    pub(super) fn set_node(&mut self, node: &Object) {
        let name = name_of(node).to_owned();
        if let Some(info) = self.nodes.get_mut(&name) {
            info.node = node.clone();
            info.room = Amounts::read(&node["status"]["allocatable"]);
            return;
        }
        let mut info = NodeInfo::new(node.clone());
        for (key, pod) in self.strays.remove(&name).unwrap_or_default() {
            info.add(key, pod);
        }
        self.nodes.insert(name, info);
    }

    /// Forgets a node; its pods stay known.
    pub(super) fn remove_node(&mut self, name: &str) {
        if let Some(info) = self.nodes.remove(name)
            && !info.pods.is_empty()
        {
            self.strays.insert(name.to_owned(), info.pods);
        }
    }

    /// Takes in a pod's newest version, if it takes room on a node.
    pub(super) fn set_pod(&mut self, pod: &Object) {
        let key = key_of(pod);
        let node = node_of(pod).to_owned();
        if node.is_empty() || is_finished(pod) {
            self.remove_pod(&key);
            return;
        }
        if self.place.get(&key) == Some(&node) && !self.changed(&key, &node, pod) {
            return;
        }
        self.remove_pod(&key);
        let info = PodInfo::of(pod);
        if !info.required("podAntiAffinity").is_empty() {
            self.repelling.insert(key.clone());
        }
        self.place.insert(key.clone(), node.clone());
        match self.nodes.get_mut(&node) {
            Some(known) => known.add(key, info),
            None => {
                self.strays.entry(node).or_default().insert(key, info);
            }
        }
    }

    /// Whether anything changed that matters here; else only the version is replaced.
    fn changed(&mut self, key: &Key, node: &str, pod: &Object) -> bool {
        let known = match self.nodes.get_mut(node) {
            Some(info) => info.pods.get_mut(key),
            None => self.strays.get_mut(node).and_then(|pods| pods.get_mut(key)),
        };
        let Some(known) = known else { return true };
        let same = known.pod["metadata"]["uid"] == pod["metadata"]["uid"]
            && known.pod["metadata"]["labels"] == pod["metadata"]["labels"]
            && known.pod["metadata"]["generation"] == pod["metadata"]["generation"];
        if same {
            known.pod = pod.clone();
        }
        !same
    }

    /// Forgets a pod; the node it was on.
    pub(super) fn remove_pod(&mut self, key: &Key) -> Option<String> {
        let node = self.place.remove(key)?;
        self.repelling.remove(key);
        match self.nodes.get_mut(&node) {
            Some(info) => info.remove(key),
            None => {
                if let Some(pods) = self.strays.get_mut(&node) {
                    pods.remove(key);
                }
            }
        }
        Some(node)
    }

    /// The node a pod is on, and what is known of the pod.
    pub(super) fn find(&self, key: &Key) -> Option<(&NodeInfo, &PodInfo)> {
        let node = self.nodes.get(self.place.get(key)?)?;
        Some((node, node.pods.get(key)?))
    }
}
