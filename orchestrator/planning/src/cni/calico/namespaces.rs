//! Namespaces that hold nothing but Calico.

use super::objects::{Belongings, owned_by_calico};
use crate::object::{Object, ObjectId};
use crate::state::{ClusterState, Owner};
use std::collections::BTreeSet;

/// Namespaces that go whole; and those that stay because something else lives there, with its name.
pub fn split(state: &ClusterState, found: &Belongings) -> (Vec<ObjectId>, Vec<(String, String)>) {
    let mut whole = Vec::new();
    let mut shared = Vec::new();
    for namespace in candidates(state, found) {
        let Some(object) = state.inventory.get("", "Namespace", "", namespace) else { continue };
        match foreign(state, found, namespace) {
            None => whole.push(object.id.clone()),
            Some(other) => shared.push((namespace.to_owned(), other)),
        }
    }
    (whole, shared)
}

/// Namespaces where Calico's workloads run, or that its operator made.
fn candidates<'a>(state: &'a ClusterState, found: &'a Belongings) -> BTreeSet<&'a str> {
    let used = found.workloads.iter().map(|(_, id)| id.object.namespace.as_str());
    let owned =
        state.inventory.of("", "Namespace").filter(|n| owned_by_calico(n)).map(|n| n.id.object.name.as_str());
    used.chain(owned).filter(|name| !name.starts_with("kube-") && *name != "default").collect()
}

/// Something in a namespace that is not Calico's.
fn foreign(state: &ClusterState, found: &Belongings, namespace: &str) -> Option<String> {
    let object = state
        .inventory
        .iter()
        .find(|o| o.id.object.namespace == namespace && !belongs(o, found) && !comes_with_a_namespace(o));
    object.map(|o| o.id.object.to_string()).or_else(|| {
        let bare = |pod: &&crate::state::PodState| pod.namespace == namespace && pod.owner == Owner::Bare;
        state.pods.iter().find(bare).map(|pod| format!("Pod {namespace}/{}", pod.name))
    })
}

fn belongs(object: &Object, found: &Belongings) -> bool {
    super::is_calico_group(&object.id.object.kind.group)
        || owned_by_calico(object)
        || found.holds(&object.id.object)
        || is_operators_own(object)
}

/// Secrets and ConfigMaps that the operator keeps for itself carry no owner, only its names.
fn is_operators_own(object: &Object) -> bool {
    let name = object.id.object.name.as_str();
    matches!(
        object.id.object.kind.kind.as_str(),
        "ConfigMap" | "Secret" | "Role" | "RoleBinding" | "NetworkPolicy" | "Service"
    ) && ["tigera-", "calico-", "goldmane-", "whisker-", "active-operator", "node-certs", "typha-certs"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn comes_with_a_namespace(object: &Object) -> bool {
    let reference = &object.id.object;
    matches!(
        (reference.kind.kind.as_str(), reference.name.as_str()),
        ("ServiceAccount", "default") | ("ConfigMap", "kube-root-ca.crt")
    ) || (reference.kind.kind == "Secret"
        && object.text("/type") == Some("kubernetes.io/service-account-token"))
}
