//! Objects as the store holds them, and short ways to read and write JSON.

use bytes::Bytes;
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

/// An object as the store holds it: never changed, only replaced.
pub type Object = Arc<Value>;

/// A version of an object with its serialised form, which is made at most once.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) object: Object,
    pub(crate) revision: u64,
    json: OnceLock<Bytes>,
    item: OnceLock<Bytes>,
}

/// A shared version of an object.
pub(crate) type Entry = Arc<Stored>;

impl Stored {
    pub(crate) fn new(object: Value, revision: u64) -> Entry {
        Arc::new(Self { object: Arc::new(object), revision, json: OnceLock::new(), item: OnceLock::new() })
    }

    pub(crate) fn json(&self) -> Bytes {
        self.json.get_or_init(|| Bytes::from(self.object.to_string())).clone()
    }

    /// As an item of a built-in kind's list: without a kind of its own, as the real server's typed lists are.
    pub(crate) fn item(&self) -> Bytes {
        self.item.get_or_init(|| Bytes::from(without_type(&self.object))).clone()
    }
}

fn without_type(object: &Value) -> String {
    let Some(fields) = object.as_object() else { return object.to_string() };
    let mut out = String::from("{");
    for (name, value) in fields.iter().filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind")) {
        if out.len() > 1 {
            out.push(',');
        }
        // Writing to a String can't fail.
        let _ = write!(out, "{}:{value}", Value::from(name.as_str()));
    }
    out.push('}');
    out
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
        Value::Object(map) => map.get(token),
        Value::Array(list) => list.get(token.parse::<usize>().ok()?),
        _ => None,
    })
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
