//! Everything that the API holds, to be compared with what it holds later.

use replank_lab::cluster::Cluster;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What comes and goes by itself, or with pods and nodes.
const RESTLESS: [&str; 8] = [
    "Event",
    "Pod",
    "Endpoints",
    "EndpointSlice",
    "Lease",
    "ControllerRevision",
    "ReplicaSet",
    "CertificateSigningRequest",
];
/// What goes with a node, or comes with one.
const OF_NODES: [&str; 2] = ["Node", "CSINode"];

/// What a run has of its own: its status for others to see, and kubeadm's upload of certificates, which a control plane
/// that joins needs, and which goes with the token that carries it.
const OF_RUNS: [&str; 2] = ["replank-status", "kubeadm-certs"];

/// Which object: kind, group, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// All objects, without what the server writes of its own.
pub(crate) struct Whole(BTreeMap<Key, Value>);

/// How one differs from another.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) added: Vec<Key>,
    pub(crate) removed: Vec<Key>,
    pub(crate) changed: BTreeMap<Key, Vec<String>>,
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn key(object: &Value) -> Key {
    let version = text(object, "/apiVersion");
    Key {
        group: version.split_once('/').map_or("", |(group, _)| group).to_owned(),
        kind: text(object, "/kind").to_owned(),
        namespace: text(object, "/metadata/namespace").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
    }
}

impl Whole {
    /// Everything that can be listed.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let kubectl = |words: &[&str]| cluster.kubectl(words, None).unwrap_or_else(|e| panic!("{e}"));
        let kinds = kubectl(&["api-resources", "--verbs=list", "--output=name"]);
        let kinds: Vec<&str> = kinds.lines().filter(|kind| *kind != "componentstatuses").collect();
        let text = kubectl(&["get", &kinds.join(","), "--all-namespaces", "--output=json"]);
        let list: Value = serde_json::from_str(&text).expect("kubectl prints JSON");
        let mut all = BTreeMap::new();
        for mut object in list["items"].as_array().cloned().expect("it is a list") {
            let key = key(&object);
            if RESTLESS.contains(&&*key.kind) {
                continue;
            }
            let whole = object.as_object_mut().expect("an object is one");
            whole.remove("status");
            if let Some(metadata) = whole.get_mut("metadata").and_then(Value::as_object_mut) {
                for own in ["resourceVersion", "managedFields", "generation"] {
                    metadata.remove(own);
                }
                // The same count once more, as old clients know it.
                if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                    annotations.remove("deprecated.daemonset.template.generation");
                }
            }
            all.insert(key, object);
        }
        Self(all)
    }

    /// What is otherwise later.
    pub(crate) fn until(&self, later: &Self) -> Difference {
        let mut difference = Difference::default();
        difference.added.extend(later.0.keys().filter(|key| !self.0.contains_key(key)).cloned());
        for (key, before) in &self.0 {
            match later.0.get(key) {
                None => difference.removed.push(key.clone()),
                Some(after) if after != before => {
                    let mut places = Vec::new();
                    differ(before, after, "", &mut places);
                    difference.changed.insert(key.clone(), places);
                }
                Some(_) => {}
            }
        }
        difference
    }
}

impl Difference {
    /// Leaves out what a plan names, what a namespace or a kind that it names takes along or brings, and nodes.
    pub(crate) fn unnamed(self, plan: &Value) -> Self {
        let mut named = BTreeSet::new();
        collect(plan, &mut named);
        let kinds: BTreeSet<(String, String)> = kinds(plan);
        let is_named = |key: &Key| {
            named.contains(key)
                || OF_RUNS.contains(&&*key.name)
                || serves(key, &kinds)
                || OF_NODES.contains(&&*key.kind)
                || kinds.contains(&(key.group.clone(), key.kind.clone()))
                || (!key.namespace.is_empty()
                    && named.contains(&Key {
                        group: String::new(),
                        kind: "Namespace".to_owned(),
                        namespace: String::new(),
                        name: key.namespace.clone(),
                    }))
        };
        Self {
            added: self.added.into_iter().filter(|key| !is_named(key)).collect(),
            removed: self.removed.into_iter().filter(|key| !is_named(key)).collect(),
            changed: self.changed.into_iter().filter(|(key, _)| !is_named(key)).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// Whether it is the server's own entry for a group that has no kind any more.
fn serves(key: &Key, kinds: &BTreeSet<(String, String)>) -> bool {
    let group = key.name.split_once('.').map_or("", |(_, group)| group);
    key.kind == "APIService" && kinds.iter().any(|(of, _)| of == group)
}

/// The paths at which two values differ.
fn differ(before: &Value, after: &Value, at: &str, places: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let none = &Value::Null;
                differ(
                    a.get(key).unwrap_or(none),
                    b.get(key).unwrap_or(none),
                    &format!("{at}/{key}"),
                    places,
                );
            }
        }
        (a, b) if a != b => places.push(format!("{at}: {a} is now {b}")),
        _ => {}
    }
}

/// Every object that a plan names: by reference, or with its whole body.
fn collect(value: &Value, named: &mut BTreeSet<Key>) {
    match value {
        Value::Object(map) => {
            if map.contains_key("plural") && map.contains_key("name") {
                named.insert(Key {
                    group: text(value, "/group").to_owned(),
                    kind: text(value, "/kind").to_owned(),
                    namespace: text(value, "/namespace").to_owned(),
                    name: text(value, "/name").to_owned(),
                });
            }
            map.values().for_each(|inner| collect(inner, named));
        }
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, named)),
        _ => {}
    }
}

/// Every kind that is removed as a whole.
fn kinds(plan: &Value) -> BTreeSet<(String, String)> {
    let steps = plan["steps"].as_array().into_iter().flatten();
    let removals = steps.filter(|step| step["action"]["action"] == "removeObjects");
    let stages = removals.flat_map(|step| step["action"]["stages"].as_array().into_iter().flatten());
    let kinds = stages.flat_map(|stage| stage["kinds"].as_array().into_iter().flatten());
    kinds.map(|kind| (text(kind, "/group").to_owned(), text(kind, "/kind").to_owned())).collect()
}
