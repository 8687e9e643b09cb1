//! Pods and the volumes that matter for moving them.

use super::ObserveError;
use super::reader::Reader;
use crate::steps::support::{holds, items, text};
use replank_planning::ids::{NodeName, Uid};
use replank_planning::state::{NodeState, Owner, PodPhase, PodState, PodVolume};
use serde_json::Value;
use std::collections::BTreeMap;

/// Which node a claim's volume can't leave, by `namespace/claim`.
type LocalClaims = BTreeMap<String, NodeName>;

pub(super) async fn read(
    reader: &Reader<'_>,
    nodes: &BTreeMap<NodeName, NodeState>,
) -> Result<Vec<PodState>, ObserveError> {
    let local = local_claims(reader, nodes).await?;
    let mut pods: BTreeMap<(String, String), PodState> = BTreeMap::new();
    reader
        .each("/api/v1/pods", "", |pod| {
            let pod = slim(&pod, &local);
            pods.insert((pod.namespace.clone(), pod.name.clone()), pod);
        })
        .await?;
    Ok(pods.into_values().collect())
}

async fn local_claims(
    reader: &Reader<'_>,
    nodes: &BTreeMap<NodeName, NodeState>,
) -> Result<LocalClaims, ObserveError> {
    let mut volumes: BTreeMap<String, NodeName> = BTreeMap::new();
    reader
        .each("/api/v1/persistentvolumes", "", |volume| {
            let node = pinned_to(&volume, nodes);
            if let Some(node) = node {
                volumes.insert(text(&volume, "/metadata/name").to_owned(), node);
            }
        })
        .await?;
    let mut claims = LocalClaims::new();
    if volumes.is_empty() {
        return Ok(claims);
    }
    reader
        .each("/api/v1/persistentvolumeclaims", "", |claim| {
            if let Some(node) = volumes.get(text(&claim, "/spec/volumeName")) {
                claims.insert(crate::steps::support::name_of(&claim), node.clone());
            }
        })
        .await?;
    Ok(claims)
}

/// The only node that a volume's affinity allows, by host name.
fn pinned_to(volume: &Value, nodes: &BTreeMap<NodeName, NodeState>) -> Option<NodeName> {
    let terms = items(volume, "/spec/nodeAffinity/required/nodeSelectorTerms");
    let expression = terms
        .iter()
        .flat_map(|t| items(t, "/matchExpressions"))
        .find(|e| e["key"] == "kubernetes.io/hostname" && e["operator"] == "In")?;
    let [host] = items(expression, "/values") else { return None };
    let host = host.as_str()?;
    let named = |n: &&NodeState| n.labels.get("kubernetes.io/hostname").is_some_and(|h| h == host);
    nodes.values().find(named).map(|n| n.name.clone())
}

fn slim(pod: &Value, local: &LocalClaims) -> PodState {
    let namespace = text(pod, "/metadata/namespace").to_owned();
    let node = text(pod, "/spec/nodeName");
    let labels = pod.pointer("/metadata/labels").and_then(Value::as_object);
    PodState {
        name: text(pod, "/metadata/name").to_owned(),
        uid: Uid::new(text(pod, "/metadata/uid")),
        node: Some(node).filter(|n| !n.is_empty()).map(NodeName::new),
        owner: owner(pod),
        phase: match text(pod, "/status/phase") {
            "Pending" => PodPhase::Pending,
            "Running" => PodPhase::Running,
            "Succeeded" => PodPhase::Succeeded,
            "Failed" => PodPhase::Failed,
            _ => PodPhase::Unknown,
        },
        host_network: pod["spec"]["hostNetwork"] == true,
        ready: holds(pod, "Ready"),
        terminating: pod.pointer("/metadata/deletionTimestamp").is_some(),
        ips: items(pod, "/status/podIPs").iter().filter_map(|ip| text(ip, "/ip").parse().ok()).collect(),
        labels: labels
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned()))
            .collect(),
        volumes: items(pod, "/spec/volumes").iter().filter_map(|v| volume(v, &namespace, local)).collect(),
        tolerates_everything: items(pod, "/spec/tolerations").iter().any(|t| {
            text(t, "/key").is_empty() && text(t, "/operator") == "Exists" && text(t, "/effect").is_empty()
        }),
        namespace,
    }
}

fn owner(pod: &Value) -> Owner {
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some() {
        return Owner::Mirror;
    }
    match items(pod, "/metadata/ownerReferences").iter().find(|o| o["controller"] == true) {
        Some(owner) if owner["kind"] == "DaemonSet" => {
            Owner::DaemonSet { name: text(owner, "/name").to_owned() }
        }
        Some(owner) => {
            Owner::Controller { kind: text(owner, "/kind").to_owned(), name: text(owner, "/name").to_owned() }
        }
        None => Owner::Bare,
    }
}

fn volume(volume: &Value, namespace: &str, local: &LocalClaims) -> Option<PodVolume> {
    let there = |key: &str| volume.get(key).is_some_and(|v| !v.is_null());
    if there("emptyDir") {
        return Some(PodVolume::EmptyDir { name: text(volume, "/name").to_owned() });
    }
    if there("hostPath") {
        return Some(PodVolume::HostPath { path: text(volume, "/hostPath/path").to_owned() });
    }
    if there("persistentVolumeClaim") {
        let claim = text(volume, "/persistentVolumeClaim/claimName").to_owned();
        let local_to = local.get(&format!("{namespace}/{claim}")).cloned();
        return Some(PodVolume::Claim { claim, local_to });
    }
    None
}
