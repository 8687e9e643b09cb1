//! Keeping Calico off the new nodes: never by a taint, since its agents tolerate all of them.

use super::detect::{Install, InstallKind};
use super::features;
use crate::cni::{GATE_LABEL, OLD_SIDE};
use crate::object::{Object, ObjectRef};
use crate::plan::action::{ObjectPatch, PatchObjects};
use crate::state::{ClusterState, NodeState};
use serde_json::{Map, Value, json};

/// Labels that tell the old nodes, by which the agents are pinned to them.
pub fn label_old_nodes<'a>(nodes: impl IntoIterator<Item = &'a NodeState>) -> PatchObjects {
    let kind = crate::object::Kind::cluster("", "v1", "Node", "nodes");
    let patches = nodes.into_iter().map(|node| ObjectPatch {
        target: crate::object::ObjectId {
            object: ObjectRef::new(kind.clone(), "", node.name.as_str()),
            uid: node.uid.clone(),
        },
        patch: json!({"metadata": {"labels": {GATE_LABEL: OLD_SIDE}}}),
    });
    PatchObjects {
        purpose: "mark the old nodes, so that Calico's agents can be pinned to them".into(),
        patches: patches.collect(),
        wait_for: Vec::new(),
    }
}

/// The patches that pin Calico's agents to the old nodes.
pub fn pin_agents(state: &ClusterState, install: &Install) -> PatchObjects {
    let operated: Vec<&Object> = match install.kind {
        InstallKind::Operator => state.inventory.of("operator.tigera.io", "Installation").collect(),
        InstallKind::Manifest | InstallKind::Canal => Vec::new(),
    };
    let patches = if operated.is_empty() {
        install.agents.iter().map(pin_daemon_set).collect()
    } else {
        operated.into_iter().map(pin_installation).collect()
    };
    PatchObjects {
        purpose: "pin Calico's agents to the old nodes, so that no replacement ever runs them".into(),
        patches,
        wait_for: install.agents.iter().map(|a| a.id.object.clone()).collect(),
    }
}

fn pin_daemon_set(set: &Object) -> ObjectPatch {
    ObjectPatch {
        target: set.id.clone(),
        patch: json!({"spec": {"template": {"spec": {"nodeSelector": {GATE_LABEL: OLD_SIDE}}}}}),
    }
}

/// The operator writes the DaemonSet again whenever it differs, so it must be told itself.
fn pin_installation(installation: &Object) -> ObjectPatch {
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": GATE_LABEL, "operator": "In", "values": [OLD_SIDE]}]}
    ]}}});
    ObjectPatch {
        target: installation.id.clone(),
        patch: json!({"spec": {"calicoNodeDaemonSet": {"spec": {"template": {"spec": {"affinity": affinity}}}}}}),
    }
}

/// Makes kube-proxy whole again where the eBPF datapath had switched it off; nothing otherwise.
pub fn restore_kube_proxy(state: &ClusterState) -> Option<PatchObjects> {
    if !features::ebpf(&state.inventory) {
        return None;
    }
    let set = state.kube_proxy.as_ref()?.daemon_set.as_ref()?;
    let unmet = unmet_selectors(state, set);
    if unmet.is_empty() {
        return None;
    }
    // First whoever would switch it off again: the operator, where it manages kube-proxy; and the agents,
    // which clean kube-proxy's rules up as long as they think that they stand in for it.
    let mut patches: Vec<ObjectPatch> = managers(state).collect();
    patches.extend(features::calico(&state.inventory, "FelixConfiguration").map(|felix| ObjectPatch {
        target: felix.id.clone(),
        patch: json!({"spec": {"bpfKubeProxyIptablesCleanupEnabled": false}}),
    }));
    let nothing: Map<String, Value> = unmet.into_iter().map(|key| (key, Value::Null)).collect();
    patches.push(ObjectPatch {
        target: set.id.clone(),
        patch: json!({"spec": {"template": {"spec": {"nodeSelector": nothing}}}}),
    });
    Some(PatchObjects {
        purpose: "let kube-proxy run again, which Calico's eBPF datapath stood in for".into(),
        patches,
        wait_for: vec![set.id.object.clone()],
    })
}

/// Entries of the node selector that no Node meets: by such a one kube-proxy is switched off, be it
/// the one of Calico's documentation (`non-calico`) or the operator's.
fn unmet_selectors(state: &ClusterState, set: &Object) -> Vec<String> {
    let selector = set.at("/spec/template/spec/nodeSelector").and_then(Value::as_object);
    let met = |key: &str, value: &Value| {
        state.nodes.values().any(|node| node.labels.get(key).map(String::as_str) == value.as_str())
    };
    selector
        .into_iter()
        .flatten()
        .filter(|(key, value)| !met(key, value))
        .map(|(key, _)| key.clone())
        .collect()
}

/// Installations that tell the operator to manage kube-proxy.
fn managers(state: &ClusterState) -> impl Iterator<Item = ObjectPatch> {
    state
        .inventory
        .of("operator.tigera.io", "Installation")
        .filter(|i| i.text("/spec/calicoNetwork/kubeProxyManagement") == Some("Enabled"))
        .map(|installation| ObjectPatch {
            target: installation.id.clone(),
            patch: json!({"spec": {"calicoNetwork": {"kubeProxyManagement": "Disabled"}}}),
        })
}
