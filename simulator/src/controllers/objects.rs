//! Short ways to read and make objects.

pub(crate) use crate::server::object::{
    child, condition, condition_status, controller_of, finalizers, is_terminating, items, labels_of,
    metadata, name_of, namespace_of, text, uid_of,
};

use crate::schema::Resource;
use crate::server::Event;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Namespace and name.
pub(crate) type Key = (String, String);

/// The letters of hashes: none that can form words.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// The key of an object.
pub(crate) fn key_of(object: &Value) -> Key {
    (namespace_of(object).to_owned(), name_of(object).to_owned())
}

/// Whether an event is about this kind, at whatever version.
pub(crate) fn about(event: &Event, resource: &Resource) -> bool {
    event.resource.plural == resource.plural && event.resource.group == resource.group
}

/// The number at a JSON pointer, or this one.
pub(crate) fn number(value: &Value, pointer: &str, default: i64) -> i64 {
    crate::server::object::at(value, pointer).and_then(Value::as_i64).unwrap_or(default)
}

/// Ten letters that stand for these texts.
pub(crate) fn short_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    digest.iter().take(10).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

/// Whether this owner manages the object.
pub(crate) fn is_controlled_by(object: &Value, owner_uid: &str) -> bool {
    controller_of(object).is_some_and(|owner| owner["uid"] == owner_uid)
}

/// A reference to the object that manages another.
pub(crate) fn controller_reference(resource: &Resource, owner: &Value) -> Value {
    json!({
        "apiVersion": resource.api_version(), "kind": resource.kind,
        "name": name_of(owner), "uid": uid_of(owner),
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// Sets a condition within a list; the time of transition changes only with the status. Whether
/// anything but times changed.
pub(crate) fn set_condition(conditions: &mut Vec<Value>, mut condition: Value, now: &str) -> bool {
    let at = conditions.iter().position(|one| one["type"] == condition["type"]);
    let old = at.map_or(Value::Null, |at| conditions[at].clone());
    if ["status", "reason", "message"].iter().all(|field| old.get(field) == condition.get(field)) {
        return false;
    }
    let fields = condition.as_object_mut();
    if let Some(fields) = fields {
        let transition =
            if old["status"] == fields["status"] { old["lastTransitionTime"].clone() } else { json!(now) };
        fields.insert("lastTransitionTime".into(), transition);
    }
    match at {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
    true
}

/// The conditions of an object, to be changed.
pub(crate) fn conditions_of(object: &Value) -> Vec<Value> {
    items(object, "/status/conditions").to_vec()
}

/// A map of the fields that aren't zero, as optional counts are left out.
pub(crate) fn counts(fields: &[(&str, i64)]) -> Map<String, Value> {
    fields
        .iter()
        .filter(|(_, count)| *count != 0)
        .map(|(name, count)| ((*name).to_owned(), json!(count)))
        .collect()
}

/// An absolute number or a percentage of a total.
pub(crate) fn int_or_percent(value: &Value, total: i64, round_up: bool) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let percent: i64 = value.as_str()?.trim().strip_suffix('%')?.parse().ok()?;
    let product = percent.saturating_mul(total);
    Some(if round_up { product.saturating_add(99).div_euclid(100) } else { product.div_euclid(100) })
}

/// The entries of a map of texts.
pub(crate) fn texts<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = object.pointer(pointer).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}
