//! Which Calico a cluster has.

use super::images::{self, Part};
use super::{features, ranges};
use crate::object::Object;
use crate::state::Inventory;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// An install.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Install {
    /// How it was installed.
    pub kind: InstallKind,
    /// Its version, such as `v3.30.3`; empty if nothing tells.
    pub version: String,
    /// Where it keeps its records.
    pub datastore: Datastore,
    /// How its nodes reach each other.
    pub encapsulation: Encapsulation,
    /// How its kinds are served.
    pub api: Api,
    /// The agents' DaemonSets.
    pub agents: Vec<Object>,
}

/// How Calico was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InstallKind {
    /// From a manifest.
    Manifest,
    /// By the Tigera operator.
    Operator,
    /// Canal: Flannel's network with Calico's policies.
    Canal,
}

/// Where Calico keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Datastore {
    /// In the Kubernetes API.
    Kubernetes,
    /// In an etcd of its own or the cluster's.
    Etcd,
}

/// How Calico's nodes reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Encapsulation {
    /// IP in IP.
    Ipip,
    /// VXLAN.
    Vxlan,
    /// Plain routes.
    None,
    /// Flannel's (Canal).
    Flannel,
    /// Nothing tells: no pool could be read.
    Unknown,
}

/// How Calico's kinds are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Api {
    /// `crd.projectcalico.org/v1` alone.
    Crd,
    /// The same, and `projectcalico.org/v3` by an aggregated API server.
    Aggregated,
    /// `projectcalico.org/v3` as CustomResourceDefinitions (3.32 and later).
    V3,
    /// Not at all (etcd datastore).
    Nothing,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Detection {
    /// No agent of Calico's.
    Nothing,
    /// One install.
    Found(Box<Install>),
    /// More agents than one install has.
    Several(Vec<Object>),
}

impl Detection {
    /// The install, if there is exactly one.
    pub fn install(&self) -> Option<&Install> {
        match self {
            Self::Found(install) => Some(install),
            Self::Nothing | Self::Several(_) => None,
        }
    }
}

/// Looks for Calico.
pub fn detect(inventory: &Inventory) -> Detection {
    let agents: Vec<Object> =
        inventory.of("apps", "DaemonSet").filter(|set| is_agent(set)).cloned().collect();
    let operated = inventory.of("operator.tigera.io", "Installation").next().is_some();
    match agents.as_slice() {
        [] if !operated => Detection::Nothing,
        [] | [_] => Detection::Found(Box::new(describe(inventory, agents, operated))),
        _ => Detection::Several(agents),
    }
}

fn describe(inventory: &Inventory, agents: Vec<Object>, operated: bool) -> Install {
    let agent = agents.first();
    let canal = agent.is_some_and(runs_flannel);
    let kind = match (operated, canal) {
        (true, _) => InstallKind::Operator,
        (false, true) => InstallKind::Canal,
        (false, false) => InstallKind::Manifest,
    };
    let datastore = agent.map_or(Datastore::Kubernetes, datastore_of);
    Install {
        kind,
        version: version_of(inventory, agent),
        datastore,
        encapsulation: if canal { Encapsulation::Flannel } else { encapsulation_of(inventory) },
        api: api_of(inventory),
        agents,
    }
}

fn is_agent(set: &Object) -> bool {
    template_of(set).is_some_and(|t| {
        images::containers(t).any(|c| c["image"].as_str().and_then(images::part_of) == Some(Part::Node))
    })
}

fn runs_flannel(set: &Object) -> bool {
    template_of(set).is_some_and(|t| images::of_template(t).any(images::is_flannel))
}

fn template_of(set: &Object) -> Option<&Value> {
    set.at("/spec/template")
}

fn node_container(set: &Object) -> Option<&Value> {
    set.at("/spec/template/spec/containers")?
        .as_array()?
        .iter()
        .find(|c| c["image"].as_str().and_then(images::part_of) == Some(Part::Node))
}

fn datastore_of(agent: &Object) -> Datastore {
    let Some(container) = node_container(agent) else { return Datastore::Kubernetes };
    let env =
        |name: &str| container["env"].as_array().into_iter().flatten().find(|entry| entry["name"] == name);
    match env("DATASTORE_TYPE").and_then(|entry| entry["value"].as_str()) {
        Some("kubernetes") => Datastore::Kubernetes,
        Some(_) => Datastore::Etcd,
        None if env("ETCD_ENDPOINTS").is_some() => Datastore::Etcd,
        None => Datastore::Kubernetes,
    }
}

fn version_of(inventory: &Inventory, agent: Option<&Object>) -> String {
    let recorded = super::GROUPS
        .iter()
        .filter_map(|group| inventory.get(group, "ClusterInformation", "", "default"))
        .find_map(|info| info.text("/spec/calicoVersion"));
    let tagged = agent
        .and_then(node_container)
        .and_then(|c| c["image"].as_str())
        .map(images::tag_of)
        .filter(|tag| !tag.is_empty());
    recorded.or(tagged).unwrap_or_default().to_owned()
}

fn encapsulation_of(inventory: &Inventory) -> Encapsulation {
    let on = |pool: &Object, key: &str| pool.text(key).is_some_and(|mode| mode != "Never");
    let mut found = Encapsulation::Unknown;
    for pool in ranges::pool_objects(inventory) {
        if on(pool, "/spec/vxlanMode") {
            return Encapsulation::Vxlan;
        }
        if on(pool, "/spec/ipipMode") {
            return Encapsulation::Ipip;
        }
        found = Encapsulation::None;
    }
    found
}

fn api_of(inventory: &Inventory) -> Api {
    let definition = |group: &str| {
        inventory
            .of("apiextensions.k8s.io", "CustomResourceDefinition")
            .any(|crd| crd.text("/spec/group") == Some(group))
    };
    let aggregated = inventory.of("apiregistration.k8s.io", "APIService").any(|s| {
        s.text("/spec/group") == Some("projectcalico.org")
            && s.at("/spec/service").is_some_and(Value::is_object)
    });
    match (definition("projectcalico.org"), aggregated, definition("crd.projectcalico.org")) {
        (true, _, _) => Api::V3,
        (false, true, _) => Api::Aggregated,
        (false, false, true) => Api::Crd,
        (false, false, false) => Api::Nothing,
    }
}

impl Install {
    /// Whether its datapath is eBPF, which may have switched kube-proxy off.
    pub fn ebpf(&self, inventory: &Inventory) -> bool {
        features::ebpf(inventory)
    }
}

impl fmt::Display for Install {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version.as_str() {
            "" => write!(f, "Calico ({})", self.kind),
            version => write!(f, "Calico {version} ({})", self.kind),
        }
    }
}

impl fmt::Display for InstallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::Operator => "operator",
            Self::Canal => "canal",
        })
    }
}

impl fmt::Display for Datastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubernetes => "kubernetes",
            Self::Etcd => "etcd",
        })
    }
}
