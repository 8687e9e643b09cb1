//! Merging an applied configuration into an object, and taking fields out of one.

use super::set::{FieldSet, Step};
use crate::schema::structural::{ListType, Schema};
use serde_json::{Map, Value};

/// Merges `applied` over `live`: objects by field, lists by their keys or members, the rest replaces.
pub fn merge(schema: Option<&Schema>, live: &Value, applied: &Value) -> Value {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) if !schema.is_some_and(Schema::is_atomic) => {
            let mut merged = live.clone();
            for (name, value) in applied {
                let known = schema.and_then(|schema| schema.field(name));
                let value = match live.get(name) {
                    Some(present) => merge(known, present, value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(applied)) => match schema.map(|schema| &schema.list_type) {
            Some(ListType::Set) => {
                let mut merged = live.clone();
                merged.extend(applied.iter().filter(|item| !live.contains(item)).cloned());
                Value::Array(merged)
            }
            Some(ListType::Map(keys)) => {
                let items = schema.and_then(Schema::items);
                Value::Array(merge_items(keys, items, live, applied))
            }
            _ => Value::Array(applied.clone()),
        },
        _ => applied.clone(),
    }
}

/// The applied order holds among applied items; what only others have stays where it was.
fn merge_items(keys: &[String], schema: Option<&Schema>, live: &[Value], applied: &[Value]) -> Vec<Value> {
    let id = |item: &Value| Step::item(keys, item, schema);
    let over = |next: &Value| {
        let old = live.iter().find(|old| id(old) == id(next));
        old.map_or_else(|| next.clone(), |old| merge(schema, old, next))
    };
    let mut merged: Vec<Value> = Vec::with_capacity(live.len() + applied.len());
    let mut rest = applied.iter();
    for present in live {
        if !applied.iter().any(|one| id(one) == id(present)) {
            merged.push(present.clone());
        } else if let Some(next) = rest.next() {
            merged.push(over(next));
        }
    }
    merged.extend(rest.map(over));
    merged
}

/// Takes the fields of `gone` out of `value`; a leaf of `gone` takes all below it too.
pub fn remove(schema: Option<&Schema>, value: &mut Value, gone: &FieldSet) {
    match value {
        Value::Object(map) => remove_fields(schema, map, gone),
        Value::Array(list) => match schema.map(|schema| &schema.list_type) {
            Some(ListType::Set) => {
                list.retain(|item| !gone.children.contains_key(&Step::Member(item.to_string())));
            }
            Some(ListType::Map(keys)) => {
                let items = schema.and_then(Schema::items);
                list.retain_mut(|item| {
                    let Some(child) = gone.children.get(&Step::item(keys, item, items)) else { return true };
                    if child.member {
                        return false;
                    }
                    remove(items, item, child);
                    true
                });
            }
            _ => {}
        },
        _ => {}
    }
}

fn remove_fields(schema: Option<&Schema>, map: &mut Map<String, Value>, gone: &FieldSet) {
    for (step, child) in &gone.children {
        let Step::Field(name) = step else { continue };
        let Some(present) = map.get_mut(name) else { continue };
        if child.member {
            map.remove(name);
            continue;
        }
        remove(schema.and_then(|schema| schema.field(name)), present, child);
        let empty = match present {
            Value::Object(fields) => fields.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if empty {
            map.remove(name);
        }
    }
}
