//! Nodes with their machines.

use super::ObserveError;
use super::reader::Reader;
use crate::steps::support::{condition, items, text};
use futures::stream::{self, StreamExt, TryStreamExt};
use replank_planning::ids::{NodeName, Uid};
use replank_planning::state::{Health, HostAccess, MachineFacts, NodeState, Readiness, Taint, TaintEffect};
use replank_provider_protocol::verbs::FindParams;
use replank_provider_protocol::{ErrorCode, NodeFacts, Role};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How many questions are under way at a provider at once: clouds count them.
const QUESTIONS: usize = 8;
/// The labels by which kubeadm marks control planes, now and once.
const CONTROL_PLANE: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

pub(super) async fn read(reader: &Reader<'_>) -> Result<BTreeMap<NodeName, NodeState>, ObserveError> {
    let mut nodes = BTreeMap::new();
    reader
        .each("/api/v1/nodes", "", |node| {
            let node = slim(&node);
            nodes.insert(node.name.clone(), node);
        })
        .await?;
    let mut drivers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    reader
        .each("/apis/storage.k8s.io/v1/csinodes", "", |csi| {
            let names = items(&csi, "/spec/drivers").iter().map(|d| text(d, "/name").to_owned()).collect();
            drivers.insert(text(&csi, "/metadata/name").to_owned(), names);
        })
        .await?;
    for node in nodes.values_mut() {
        node.csi_drivers = drivers.remove(node.name.as_str()).unwrap_or_default();
    }
    Ok(nodes)
}

/// Asks the provider which machine each Node is. A Node that it does not know stays without one.
pub(super) async fn find_machines(
    reader: &Reader<'_>,
    nodes: &mut BTreeMap<NodeName, NodeState>,
) -> Result<(), ObserveError> {
    let provider = &reader.world.provider;
    let found: Vec<Option<MachineFacts>> = stream::iter(nodes.values())
        .map(|node| async move {
            let facts = NodeFacts {
                name: node.name.to_string(),
                provider_id: node.provider_id.clone(),
                system_uuid: Some(node.system_uuid.clone()).filter(|u| !u.is_empty()),
                addresses: node.addresses.iter().map(ToString::to_string).collect(),
            };
            let answer = reader
                .provider("find a Node's machine", || provider.find(FindParams { node: facts.clone() }))
                .await;
            match answer {
                Ok(found) => Ok(Some(MachineFacts { id: found.machine.id, keeping: found.keeping })),
                Err(ObserveError::Provider { source, .. }) if source.code == ErrorCode::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(QUESTIONS)
        .try_collect()
        .await?;
    for (node, machine) in nodes.values_mut().zip(found) {
        node.machine = machine;
    }
    Ok(())
}

fn slim(node: &Value) -> NodeState {
    let map = |pointer: &str| -> BTreeMap<String, String> {
        node.pointer(pointer)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (key.clone(), value)
            })
            .collect()
    };
    let labels = map("/metadata/labels");
    let role =
        if CONTROL_PLANE.iter().any(|l| labels.contains_key(*l)) { Role::ControlPlane } else { Role::Worker };
    let internal = items(node, "/status/addresses").iter().filter(|a| a["type"] == "InternalIP");
    NodeState {
        name: NodeName::new(text(node, "/metadata/name")),
        uid: Uid::new(text(node, "/metadata/uid")),
        role,
        labels,
        annotations: map("/metadata/annotations"),
        taints: items(node, "/spec/taints").iter().filter_map(taint).collect(),
        cordoned: node["spec"]["unschedulable"] == true,
        pod_cidrs: pod_cidrs(node),
        addresses: internal.filter_map(|a| text(a, "/address").parse().ok()).collect(),
        provider_id: Some(text(node, "/spec/providerID").to_owned()).filter(|p| !p.is_empty()),
        system_uuid: text(node, "/status/nodeInfo/systemUUID").to_owned(),
        ready: readiness(node),
        allocatable: map("/status/allocatable"),
        csi_drivers: BTreeSet::new(),
        machine: None,
        host: HostAccess::None { reason: "no provider was asked".into() },
    }
}

fn pod_cidrs(node: &Value) -> Vec<ipnet::IpNet> {
    let listed = items(node, "/spec/podCIDRs");
    let single = [node["spec"]["podCIDR"].clone()];
    let all = if listed.is_empty() { single.as_slice() } else { listed };
    all.iter().filter_map(Value::as_str).filter_map(|c| c.parse().ok()).collect()
}

fn readiness(node: &Value) -> Readiness {
    let Some(ready) = condition(node, "Ready") else {
        return Readiness { health: Health::Unknown, message: "it has no Ready condition".into() };
    };
    let health = match text(ready, "/status") {
        "True" => Health::Good,
        "False" => Health::Bad,
        _ => Health::Unknown,
    };
    Readiness { health, message: text(ready, "/message").to_owned() }
}

fn taint(taint: &Value) -> Option<Taint> {
    let effect = match text(taint, "/effect") {
        "NoSchedule" => TaintEffect::NoSchedule,
        "PreferNoSchedule" => TaintEffect::PreferNoSchedule,
        "NoExecute" => TaintEffect::NoExecute,
        _ => return None,
    };
    Some(Taint { key: text(taint, "/key").to_owned(), value: text(taint, "/value").to_owned(), effect })
}
