//! One walk over an object that prunes unknown fields, drops nulls and fills in defaults.

use super::path::Path;
use super::schema::{Kind, Schema};
use crate::schema::definitions;
use serde_json::{Map, Value};

/// How the nulls and empty values of an object are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// As Go's typed structs do: nulls and empty lists and maps are absent.
    Typed,
    /// As custom resources do: nulls stay unless a default takes their place.
    Structural,
}

/// Prunes, drops nulls and defaults `value` in place; the paths of pruned fields go to `unknown`.
pub fn normalise(schema: &Schema, dialect: Dialect, value: &mut Value, unknown: &mut Vec<String>) {
    walk(schema, dialect, value, &Path::Root, unknown);
}

fn walk(schema: &Schema, dialect: Dialect, value: &mut Value, path: &Path<'_>, unknown: &mut Vec<String>) {
    let schema = schema.resolve();
    match (&schema.kind, value) {
        (Kind::Object(properties), Value::Object(map)) => {
            if schema.embedded {
                embedded_metadata(map, path, unknown);
            }
            prune(schema, properties, map, path, unknown);
            for (name, field) in map.iter_mut() {
                if let Some(known) = properties.get(name) {
                    walk(known, dialect, field, &Path::Field(path, name), unknown);
                }
            }
            drop_empty(schema, dialect, properties, map);
            fill(properties, map);
        }
        (Kind::Map(values), Value::Object(map)) => {
            for (key, entry) in map.iter_mut() {
                walk(values, dialect, entry, &Path::Key(path, key), unknown);
            }
            if dialect == Dialect::Typed && !matches!(values.resolve().kind, Kind::Any) {
                map.retain(|_, entry| !entry.is_null());
            }
        }
        (Kind::List(items), Value::Array(list)) => {
            for (index, item) in list.iter_mut().enumerate() {
                walk(items, dialect, item, &Path::Index(path, index), unknown);
            }
        }
        _ => {}
    }
}

/// Fields of an object inside an object that every Kubernetes object has.
fn embedded_metadata(map: &mut Map<String, Value>, path: &Path<'_>, unknown: &mut Vec<String>) {
    if let Some(metadata) = map.get_mut("metadata") {
        walk(definitions::object_meta(), Dialect::Typed, metadata, &Path::Field(path, "metadata"), unknown);
    }
}

fn prune(
    schema: &Schema,
    properties: &std::collections::BTreeMap<String, Schema>,
    map: &mut Map<String, Value>,
    path: &Path<'_>,
    unknown: &mut Vec<String>,
) {
    if schema.preserve_unknown {
        return;
    }
    let known = |name: &str| {
        properties.contains_key(name)
            || (schema.embedded && matches!(name, "apiVersion" | "kind" | "metadata"))
    };
    if map.keys().all(|name| known(name)) {
        return;
    }
    map.retain(|name, _| {
        let keep = known(name);
        if !keep {
            unknown.push(Path::Field(path, name).to_string());
        }
        keep
    });
}

fn drop_empty(
    schema: &Schema,
    dialect: Dialect,
    properties: &std::collections::BTreeMap<String, Schema>,
    map: &mut Map<String, Value>,
) {
    match dialect {
        Dialect::Typed => map.retain(|name, field| {
            let Some(known) = properties.get(name) else { return true };
            let known = known.resolve();
            match field {
                Value::Null => matches!(known.kind, Kind::Any) && !known.preserve_unknown,
                Value::Array(list) => {
                    !list.is_empty() || !matches!(known.kind, Kind::List(_)) || schema.required.contains(name)
                }
                Value::Object(entries) => {
                    !entries.is_empty()
                        || !matches!(known.kind, Kind::Map(_))
                        || schema.required.contains(name)
                }
                _ => true,
            }
        }),
        Dialect::Structural => map.retain(|name, field| {
            !field.is_null()
                || properties.get(name).is_none_or(|known| known.nullable || known.default.is_none())
        }),
    }
}

fn fill(properties: &std::collections::BTreeMap<String, Schema>, map: &mut Map<String, Value>) {
    for (name, field) in properties {
        if let Some(default) = &field.default
            && !map.contains_key(name)
        {
            let mut value = default.clone();
            // A default may lack what the schema below it defaults.
            walk(field, Dialect::Structural, &mut value, &Path::Root, &mut Vec::new());
            map.insert(name.clone(), value);
        }
    }
}
