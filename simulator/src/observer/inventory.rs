//! Everything there is, and the differences between two looks.

use crate::schema::Resource;
use crate::server::Object;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Kinds that come and go by themselves: their objects say nothing about what was installed.
const FLEETING: [&str; 9] = [
    "Event",
    "Lease",
    "Pod",
    "ReplicaSet",
    "ControllerRevision",
    "Endpoints",
    "EndpointSlice",
    "VolumeAttachment",
    "CertificateSigningRequest",
];

/// A cluster's objects by `group/kind/namespace/name`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory(BTreeMap<String, Value>);

impl Inventory {
    /// The lasting objects, without what a server adds to each of them.
    pub fn of(objects: &[(Resource, Object)]) -> Self {
        let lasting = objects.iter().filter(|(resource, _)| !FLEETING.contains(&resource.kind.as_ref()));
        Self(lasting.map(|(resource, object)| (key_of(resource, object), normalised(object))).collect())
    }

    /// The objects whose key is wanted.
    pub fn only(self, wanted: impl Fn(&str) -> bool) -> Self {
        Self(self.0.into_iter().filter(|(key, _)| wanted(key)).collect())
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// An object by key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        Value::Object(self.0.iter().map(|(key, object)| (key.clone(), object.clone())).collect())
    }
}

fn key_of(resource: &Resource, object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    key(&resource.group, &resource.kind, text("/metadata/namespace"), text("/metadata/name"))
}

/// The key of an object: `group/kind/namespace/name`.
pub fn key(group: &str, kind: &str, namespace: &str, name: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    format!("{group}/{kind}/{namespace}/{name}")
}

/// An object without what differs between two clusters that are the same in meaning.
fn normalised(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in
            ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink"]
        {
            metadata.remove(field);
        }
    }
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    object
}

/// What an installed network left behind: objects that were not there before it, that are of its
/// making (they were there while it ran) and that are still there; and marks of it on Nodes.
pub fn leftovers(before: &Inventory, installed: &Inventory, after: &Inventory) -> Vec<String> {
    let brought =
        |key: &&String| before.get(key).is_none() && installed.get(key).is_some() && !is_shared(key);
    let mut found: Vec<String> = after.keys().filter(brought).cloned().collect();
    for key in after.keys().filter(|key| key.starts_with("core/Node/")) {
        let marks = after.get(key).into_iter().flat_map(network_marks);
        found.extend(marks.map(|mark| format!("{key}: {mark}")));
    }
    found
}

/// Upstream's own policy kinds, which Calico's manifests bring along: others use them too, so that
/// to keep them is right.
fn is_shared(key: &str) -> bool {
    key.starts_with("policy.networking.k8s.io/") || key.ends_with(".policy.networking.k8s.io")
}

/// Labels, annotations and taints of a Node that speak of Calico.
fn network_marks(node: &Value) -> Vec<String> {
    let keys = |pointer: &str| {
        node.pointer(pointer).and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key.clone())
    };
    let taints = node.pointer("/spec/taints").and_then(Value::as_array).into_iter().flatten();
    let taints = taints.filter_map(|taint| taint["key"].as_str().map(str::to_owned));
    keys("/metadata/labels")
        .chain(keys("/metadata/annotations"))
        .chain(taints)
        .filter(|key| key.contains("projectcalico.org") || key.contains("tigera.io"))
        .collect()
}

/// Objects of `watched` that are gone or different in another look: those that nobody was to touch, but
/// for what every migration writes into a few of them.
pub fn changed(watched: &Inventory, after: &Inventory) -> Vec<String> {
    let differs = |(key, object): &(&String, &Value)| {
        after.get(key).map(|now| unedited(key, now)) != Some(unedited(key, object))
    };
    watched.0.iter().filter(differs).map(|(key, _)| key.clone()).collect()
}

/// An object without what every migration writes into it.
fn unedited(key: &str, object: &Value) -> Value {
    let mut object = object.clone();
    match key {
        // The new range, and the controller-manager's flags that fit it.
        "core/ConfigMap/kube-system/kubeadm-config" => object["data"]["ClusterConfiguration"] = Value::Null,
        "core/ConfigMap/kube-system/kube-proxy" => {
            let config = object["data"]["config.conf"].as_str().unwrap_or_default();
            // In meaning: whoever writes one field of it writes the text anew.
            if let Ok(mut config) = serde_saphyr::from_str::<Value>(config) {
                config["clusterCIDR"] = Value::Null;
                object["data"]["config.conf"] = config;
            }
        }
        // What `kubectl rollout restart` writes, so that its pods read the new range; and what kept them
        // away where Calico did their work.
        "apps/DaemonSet/kube-system/kube-proxy" => {
            let template = &mut object["spec"]["template"];
            template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = Value::Null;
            template["spec"]["nodeSelector"]["non-calico"] = Value::Null;
        }
        _ => {}
    }
    object
}

/// Objects that came between two looks and are none of `named`, of the run's own or of a node's.
pub fn came(before: &Inventory, after: &Inventory, named: &BTreeSet<String>) -> Vec<String> {
    let new = after.keys().filter(|key| before.get(key).is_none());
    new.filter(|key| !named.contains(*key) && !comes_along(key, named)).cloned().collect()
}

/// Whether an object comes with something that was to come: a replacement's Node, what controllers put
/// into every namespace, and the run's account of itself.
fn comes_along(key: &str, named: &BTreeSet<String>) -> bool {
    if key.starts_with("core/Node/") || key.starts_with("storage.k8s.io/CSINode/") {
        return true;
    }
    let of_namespace = ["core/ServiceAccount/", "core/ConfigMap/"].iter().find_map(|kind| {
        let (namespace, name) = key.strip_prefix(kind)?.split_once('/')?;
        ["default", "kube-root-ca.crt"].contains(&name).then_some(namespace)
    });
    key == "core/ConfigMap/kube-system/replank-status"
        || of_namespace.is_some_and(|namespace| named.contains(&format!("core/Namespace//{namespace}")))
}
