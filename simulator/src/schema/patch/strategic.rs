//! Strategic merge patch: lists of built-in kinds merge by key, and directives say the rest.
//!
//! Directives: `$patch: delete|replace|merge` in an object or list item, `$retainKeys` beside the
//! fields it keeps, `$deleteFromPrimitiveList/FIELD` and `$setElementOrder/FIELD` beside a list.

use crate::schema::structural::Schema;
use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Why a strategic merge patch can't be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategicError {
    /// An item of a list that merges by key lacks the key.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item.
        item: String,
        /// The key it should have.
        key: String,
    },
    /// A directive that is none.
    #[error("unrecognized value for $patch: {0}")]
    Directive(String),
}

/// Applies a strategic merge patch.
///
/// # Errors
/// Says what in the patch can't be applied.
pub fn merge(schema: &Schema, current: Value, patch: &Value) -> Result<Value, StrategicError> {
    match (current, patch) {
        (Value::Object(current), Value::Object(patch)) => {
            merge_object(Some(schema), current, patch).map(Value::Object)
        }
        _ => Ok(patch.clone()),
    }
}

fn merge_object(
    schema: Option<&Schema>,
    mut merged: Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<Map<String, Value>, StrategicError> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => return Ok(cleaned(patch)),
        Some("delete") => return Ok(Map::new()),
        Some("merge") | None => {}
        Some(other) => return Err(StrategicError::Directive(other.to_owned())),
    }
    if let Some(retained) = patch.get(RETAIN).and_then(Value::as_array) {
        merged.retain(|name, _| retained.iter().any(|kept| kept == name.as_str()));
    }
    for (name, value) in patch {
        if name == DIRECTIVE || name == RETAIN || name.starts_with(ORDER) {
            continue;
        }
        if let Some(field) = name.strip_prefix(DELETE_FROM) {
            if let (Some(Value::Array(list)), Value::Array(gone)) = (merged.get_mut(field), value) {
                list.retain(|item| !gone.contains(item));
            }
            continue;
        }
        let known = schema.and_then(|schema| schema.field(name));
        merge_field(known, &mut merged, name, value, patch)?;
    }
    // An order may be given for a list that is otherwise left alone.
    for (name, order) in patch {
        let Some(field) = name.strip_prefix(ORDER) else { continue };
        let known = schema.and_then(|schema| schema.field(field));
        if let (Some(Value::Array(list)), Value::Array(order)) = (merged.get_mut(field), order) {
            reorder(list, order, known.and_then(|s| s.merge_key.as_deref()));
        }
    }
    Ok(merged)
}

fn merge_field(
    schema: Option<&Schema>,
    merged: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    patch: &Map<String, Value>,
) -> Result<(), StrategicError> {
    match value {
        Value::Null => {
            merged.remove(name);
        }
        Value::Object(fields) => {
            if fields.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
                merged.remove(name);
                return Ok(());
            }
            let current = match merged.get_mut(name).map(Value::take) {
                Some(Value::Object(current)) => current,
                _ => Map::new(),
            };
            let result = merge_object(schema, current, fields)?;
            merged.insert(name.to_owned(), Value::Object(result));
        }
        Value::Array(items) => {
            let merges = schema.is_some_and(|schema| schema.strategy.merge);
            let current = match merged.get_mut(name).map(Value::take) {
                Some(Value::Array(current)) => Some(current),
                _ => None,
            };
            let result = match current {
                _ if !merges => items.iter().filter(|item| !is_directive_only(item)).map(clean).collect(),
                current => merge_list(schema, current.unwrap_or_default(), items)?,
            };
            let _ = patch;
            merged.insert(name.to_owned(), Value::Array(result));
        }
        scalar => {
            merged.insert(name.to_owned(), scalar.clone());
        }
    }
    Ok(())
}

/// `[{"$patch": "replace"}, …]`: the item that is nothing but a directive for the whole list.
fn is_directive_only(item: &Value) -> bool {
    item.as_object().is_some_and(|map| map.len() == 1 && map.contains_key(DIRECTIVE))
}

fn merge_list(
    schema: Option<&Schema>,
    mut current: Vec<Value>,
    items: &[Value],
) -> Result<Vec<Value>, StrategicError> {
    if items.iter().any(|item| is_directive_only(item) && item[DIRECTIVE] == "replace") {
        return Ok(items.iter().filter(|item| !is_directive_only(item)).map(clean).collect());
    }
    let Some(key) = schema.and_then(|schema| schema.merge_key.as_deref()) else {
        for item in items {
            if !current.contains(item) {
                current.push(item.clone());
            }
        }
        return Ok(current);
    };
    let item_schema = schema.and_then(Schema::items);
    for item in items {
        let Value::Object(fields) = item else { continue };
        let Some(id) = fields.get(key) else {
            return Err(StrategicError::NoMergeKey { item: item.to_string(), key: key.to_owned() });
        };
        let place = current.iter().position(|present| present.get(key) == Some(id));
        match (fields.get(DIRECTIVE).and_then(Value::as_str), place) {
            (Some("delete"), _) => current.retain(|present| present.get(key) != Some(id)),
            (Some("replace"), Some(place)) => current[place] = clean(item),
            (_, Some(place)) => {
                let present = match current[place].take() {
                    Value::Object(present) => present,
                    _ => Map::new(),
                };
                current[place] = Value::Object(merge_object(item_schema, present, fields)?);
            }
            (_, None) => current.push(Value::Object(merge_object(item_schema, Map::new(), fields)?)),
        }
    }
    Ok(current)
}

/// Puts the named items in the named order; items without a name in it keep their place behind
/// the item they followed.
fn reorder(list: &mut [Value], order: &[Value], key: Option<&str>) {
    let id = |item: &Value| key.map_or_else(|| item.clone(), |key| item[key].clone());
    let wanted: Vec<Value> = order.iter().map(id).collect();
    let rank = |item: &Value| wanted.iter().position(|w| *w == id(item));
    let mut named: Vec<Value> = list.iter().filter(|item| rank(item).is_some()).cloned().collect();
    named.sort_by_key(|item| rank(item));
    let mut named = named.into_iter();
    for item in list.iter_mut() {
        if rank(item).is_some()
            && let Some(next) = named.next()
        {
            *item = next;
        }
    }
}

/// A value without directives, as it is stored when nothing was there to merge with.
fn clean(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(cleaned(map)),
        Value::Array(list) => {
            Value::Array(list.iter().filter(|item| !is_directive_only(item)).map(clean).collect())
        }
        other => other.clone(),
    }
}

fn cleaned(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(name, value)| {
            !value.is_null()
                && *name != DIRECTIVE
                && *name != RETAIN
                && !name.starts_with(DELETE_FROM)
                && !name.starts_with(ORDER)
        })
        .map(|(name, value)| (name.clone(), clean(value)))
        .collect()
}
