//! Which fields differ between two versions of an object.

use super::set::{FieldSet, Step};
use crate::schema::structural::{Kind, ListType, Schema};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The fields of `new` that `old` lacks or has otherwise.
pub fn changed(schema: &Schema, old: &Value, new: &Value) -> FieldSet {
    walk(Some(schema), old, new)
}

/// The same for some fields at the top only: the others are known to be as they were.
pub fn changed_in(names: &[&str], schema: &Schema, old: &Value, new: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    for name in names {
        let Some(field) = new.get(name) else { continue };
        let known = schema.field(name);
        let below = match old.get(name) {
            Some(present) => walk(known, present, field),
            None => FieldSet::below(known, field),
        };
        if !below.is_empty() {
            set.children.insert(Step::Field((*name).to_owned()), below);
        }
    }
    set
}

fn walk(schema: Option<&Schema>, old: &Value, new: &Value) -> FieldSet {
    if old == new {
        return FieldSet::default();
    }
    match (new, old) {
        (Value::Object(map), _) if !map.is_empty() && !schema.is_some_and(Schema::is_atomic) => {
            let none = Map::new();
            let before = old.as_object();
            // A map with free keys is a member beside its entries when it appears.
            let free = schema.is_none_or(|schema| matches!(schema.resolve().kind, Kind::Map(_)));
            let mut set = FieldSet { member: before.is_none() && free, children: BTreeMap::new() };
            for (name, field) in map {
                let known = schema.and_then(|schema| schema.field(name));
                let below = match before.unwrap_or(&none).get(name) {
                    Some(present) => walk(known, present, field),
                    None => FieldSet::below(known, field),
                };
                if !below.is_empty() {
                    set.children.insert(Step::Field(name.clone()), below);
                }
            }
            set
        }
        (Value::Array(list), Value::Array(before)) if !list.is_empty() => {
            match schema.map(|schema| &schema.list_type) {
                Some(ListType::Set) => {
                    let mut set = FieldSet::default();
                    for item in list.iter().filter(|item| !before.contains(item)) {
                        set.children.insert(Step::Member(item.to_string()), FieldSet::leaf());
                    }
                    set
                }
                Some(ListType::Map(keys)) => items(keys, schema.and_then(Schema::items), before, list),
                _ => FieldSet::leaf(),
            }
        }
        _ => FieldSet::below(schema, new),
    }
}

fn items(keys: &[String], schema: Option<&Schema>, before: &[Value], list: &[Value]) -> FieldSet {
    let known: BTreeMap<Step, &Value> =
        before.iter().map(|item| (Step::item(keys, item, schema), item)).collect();
    let mut set = FieldSet::default();
    for item in list {
        let step = Step::item(keys, item, schema);
        let below = match known.get(&step) {
            Some(present) => walk(schema, present, item),
            None => FieldSet { member: true, ..FieldSet::below(schema, item) },
        };
        if !below.is_empty() {
            set.children.insert(step, below);
        }
    }
    set
}
