//! Everything there is, and the differences between two looks.

use crate::schema::Resource;
use crate::server::Object;
use serde_json::Value;
use std::collections::BTreeMap;

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
        Self(lasting.map(|(resource, object)| (key(resource, object), normalised(object))).collect())
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

fn key(resource: &Resource, object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let group = if resource.group.is_empty() { "core" } else { &resource.group };
    format!("{group}/{}/{}/{}", resource.kind, text("/metadata/namespace"), text("/metadata/name"))
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

/// Objects of `watched` that are gone or different in another look: those that nobody was to touch.
pub fn changed(watched: &Inventory, after: &Inventory) -> Vec<String> {
    let differs = |(key, object): &(&String, &Value)| after.get(key) != Some(*object);
    watched.0.iter().filter(differs).map(|(key, _)| key.clone()).collect()
}
