//! Objects as the store holds them, and short ways to read and write JSON.

use super::pod_facts::PodFacts;
use crate::schema::Managers;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// An object as the store holds it: never changed, only replaced. It reads like the JSON value that it is.
#[derive(Clone)]
pub struct Object(Arc<Version>);

struct Version {
    value: Value,
    facts: OnceLock<PodFacts>,
}

impl Object {
    /// What controllers ask of a pod, read once for each version of it however many of them ask.
    pub(crate) fn pod(&self) -> &PodFacts {
        self.0.facts.get_or_init(|| PodFacts::of(&self.0.value))
    }

    /// The value itself, copied if others hold this version too.
    pub(crate) fn into_value(self) -> Value {
        Arc::try_unwrap(self.0).map_or_else(|shared| shared.value.clone(), |version| version.value)
    }
}

impl From<Value> for Object {
    fn from(value: Value) -> Self {
        Self(Arc::new(Version { value, facts: OnceLock::new() }))
    }
}

impl Deref for Object {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0.value
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.value.fmt(f)
    }
}

/// A version of an object with who manages its fields, and with its JSON, which is written at most once.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The object without its `managedFields`.
    pub(crate) object: Object,
    pub(crate) managers: Managers,
    pub(crate) revision: u64,
    json: OnceLock<Bytes>,
    item: OnceLock<Bytes>,
}

/// A shared version of an object.
pub(crate) type Entry = Arc<Stored>;

impl Stored {
    pub(crate) fn new(object: Value, managers: Managers, revision: u64) -> Entry {
        let (json, item) = (OnceLock::new(), OnceLock::new());
        Arc::new(Self { object: object.into(), managers, revision, json, item })
    }

    pub(crate) fn json(&self) -> Bytes {
        self.json.get_or_init(|| self.written(&[])).clone()
    }

    /// As an item of a built-in kind's list: without a kind of its own, as the real server's typed lists are.
    pub(crate) fn item(&self) -> Bytes {
        self.item.get_or_init(|| self.written(&["apiVersion", "kind"])).clone()
    }

    /// Its metadata with `managedFields`.
    pub(crate) fn metadata(&self) -> Value {
        let mut metadata = self.object["metadata"].clone();
        if !self.managers.is_empty() {
            metadata["managedFields"] = self.managers.to_value();
        }
        metadata
    }

    /// The whole object with `managedFields`.
    pub(crate) fn whole(&self) -> Value {
        let mut object = (*self.object).clone();
        if !self.managers.is_empty() {
            object["metadata"]["managedFields"] = self.managers.to_value();
        }
        object
    }

    fn written(&self, left_out: &[&str]) -> Bytes {
        let Some(fields) = self.object.as_object() else { return self.object.to_string().into() };
        let mut out = JsonObject::new();
        for (name, value) in fields.iter().filter(|(name, _)| !left_out.contains(&name.as_str())) {
            match value {
                Value::Object(metadata) if name == "metadata" && !self.managers.is_empty() => {
                    out.raw(name, &self.written_metadata(metadata));
                }
                value => out.field(name, value),
            }
        }
        out.end().into()
    }

    fn written_metadata(&self, metadata: &Map<String, Value>) -> Vec<u8> {
        const NAME: &str = "managedFields";
        let mut out = JsonObject::new();
        let (before, after): (Vec<_>, Vec<_>) = metadata.iter().partition(|(name, _)| name.as_str() < NAME);
        for (name, value) in before {
            out.field(name, value);
        }
        out.raw(NAME, self.managers.to_json().as_bytes());
        for (name, value) in after {
            out.field(name, value);
        }
        out.end()
    }
}

/// A JSON object that is being written.
struct JsonObject(Vec<u8>);

impl JsonObject {
    fn new() -> Self {
        Self(Vec::from(b"{"))
    }

    fn raw(&mut self, name: &str, json: &[u8]) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.extend_from_slice(Value::from(name).to_string().as_bytes());
        self.0.push(b':');
        self.0.extend_from_slice(json);
    }

    fn field(&mut self, name: &str, value: &Value) {
        self.raw(name, b"");
        serde_json::to_writer(&mut self.0, value).expect("a JSON value can be written to memory");
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// What is at a JSON pointer. Unlike [`Value::pointer`] it makes no copies of plain tokens, which
/// shows where thousands of pods are looked at.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    if pointer.contains('~') {
        return value.pointer(pointer);
    }
    let Some(tokens) = pointer.strip_prefix('/') else {
        return pointer.is_empty().then_some(value);
    };
    tokens.split('/').try_fold(value, |value, token| match value {
        Value::Object(map) => member(map, token),
        Value::Array(list) => list.get(token.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The most fields of a map that are looked through one by one: two nodes of the tree that holds them.
const FEW: usize = 22;

/// A field of a map. Names of another length are passed over without being read, which a search by order can't do:
/// each is memory of its own, far from the map.
pub(crate) fn member<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if map.len() > FEW {
        return map.get(name);
    }
    map.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value)
}

/// The string at a JSON pointer, or the empty string.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).and_then(Value::as_str).unwrap_or("")
}

/// The list at a JSON pointer, or an empty one.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    at(value, pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `metadata.name`.
pub(crate) fn name_of(value: &Value) -> &str {
    text(value, "/metadata/name")
}

/// `metadata.namespace`, empty for cluster-scoped objects.
pub(crate) fn namespace_of(value: &Value) -> &str {
    text(value, "/metadata/namespace")
}

/// `metadata.uid`.
pub(crate) fn uid_of(value: &Value) -> &str {
    text(value, "/metadata/uid")
}

/// `metadata.labels`, null without any.
pub(crate) fn labels_of(value: &Value) -> &Value {
    at(value, "/metadata/labels").unwrap_or(&Value::Null)
}

/// The reference that says who manages the object.
pub(crate) fn controller_of(value: &Value) -> Option<&Value> {
    items(value, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true)
}

/// The condition of this type.
pub(crate) fn condition<'a>(value: &'a Value, kind: &str) -> Option<&'a Value> {
    items(value, "/status/conditions").iter().find(|condition| text(condition, "/type") == kind)
}

/// The status of a condition, empty if it is missing.
pub(crate) fn condition_status<'a>(value: &'a Value, kind: &str) -> &'a str {
    condition(value, kind).map_or("", |condition| text(condition, "/status"))
}

/// Whether `metadata.deletionTimestamp` is set.
pub(crate) fn is_terminating(value: &Value) -> bool {
    !text(value, "/metadata/deletionTimestamp").is_empty()
}

/// `metadata.finalizers`.
pub(crate) fn finalizers(value: &Value) -> Vec<String> {
    items(value, "/metadata/finalizers").iter().filter_map(|f| f.as_str().map(str::to_owned)).collect()
}

/// The map at `key` of a JSON object, made if it isn't there or isn't a map.
pub(crate) fn child<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Value::Object(map) = value else { unreachable!("made an object above") };
    let slot = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    let Value::Object(inner) = slot else { unreachable!("made an object above") };
    inner
}

/// `metadata`, made if missing.
pub(crate) fn metadata(value: &mut Value) -> &mut Map<String, Value> {
    child(value, "metadata")
}

/// Copies `field` of one map to another, or takes it away where the source has none.
pub(crate) fn carry(from: &Value, to: &mut Map<String, Value>, field: &str) {
    match from.get(field) {
        Some(value) => {
            to.insert(field.to_owned(), value.clone());
        }
        None => {
            to.remove(field);
        }
    }
}
