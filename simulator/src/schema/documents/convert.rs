//! Schemas as the OpenAPI documents write them.

use crate::schema::definitions::{self, generate::REFERENCE};
use crate::schema::registry::ResourceInfo;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Which OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Swagger 2.0.
    V2,
    /// `OpenAPI` 3.0.
    V3,
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The name of a kind's definition.
pub fn definition_name(info: &ResourceInfo) -> String {
    let resource = &info.resource;
    if let Some(name) = definitions::name_of(&resource.group, &resource.version, &resource.kind) {
        return name.to_owned();
    }
    let reversed: Vec<&str> = resource.group.split('.').rev().collect();
    format!("{}.{}.{}", reversed.join("."), resource.version, resource.kind)
}

/// A reference to a definition.
pub fn reference(version: Version, name: &str) -> Value {
    match version {
        Version::V2 => json!({ "$ref": format!("#/definitions/{name}") }),
        Version::V3 => json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}

/// The definitions that the given kinds need, by name.
pub fn definitions_of<'a>(
    version: Version,
    infos: impl Iterator<Item = &'a ResourceInfo>,
) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for info in infos {
        let name = definition_name(info);
        match &info.crd {
            Some(crd) => {
                let schema = custom(version, info, &crd.json_schema);
                found.insert(name, schema);
                follow(version, META, &mut found);
            }
            None => follow(version, &name, &mut found),
        }
        for sub in &info.subresources {
            if let Some((group, v, kind)) = sub.kind
                && let Some(name) = definitions::name_of(group, v, kind)
            {
                follow(version, name, &mut found);
            }
        }
    }
    found
}

/// Adds a built-in definition and all it refers to.
pub fn follow(version: Version, name: &str, found: &mut BTreeMap<String, Value>) {
    if found.contains_key(name) {
        return;
    }
    let Some(json) = definitions::json().get(name) else { return };
    found.insert(name.to_owned(), convert(version, json, false));
    let mut referred = Vec::new();
    references(json, &mut referred);
    for next in referred {
        follow(version, &next, found);
    }
}

fn references(json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Object(map) => {
            if let Some(name) =
                map.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix(REFERENCE))
            {
                found.push(name.to_owned());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn convert(version: Version, json: &Value, property: bool) -> Value {
    let Some(map) = json.as_object() else { return json.clone() };
    let unwrapped = unwrap(map);
    let map = unwrapped.as_ref().unwrap_or(map);
    if let Some(name) = map.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix(REFERENCE)) {
        return converted_reference(version, map, name, property);
    }
    let mut converted = Map::new();
    for (name, value) in map {
        let value = match (name.as_str(), value) {
            ("properties", Value::Object(fields)) => {
                let fields: Map<String, Value> = fields
                    .iter()
                    .map(|(name, field)| (name.clone(), convert(version, field, true)))
                    .collect();
                Value::Object(fields)
            }
            ("items" | "additionalProperties", field) => convert(version, field, true),
            ("x-kubernetes-int-or-string", _) => continue,
            (_, value) => value.clone(),
        };
        converted.insert(name.clone(), value);
    }
    if map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        int_or_string(version, &mut converted);
    }
    Value::Object(converted)
}

/// A reference that stands alone in `allOf`, taken out of it.
fn unwrap(map: &Map<String, Value>) -> Option<Map<String, Value>> {
    let [only] = map.get("allOf")?.as_array()?.as_slice() else { return None };
    let target = only.get("$ref")?.clone();
    let mut unwrapped = map.clone();
    unwrapped.remove("allOf");
    unwrapped.insert("$ref".to_owned(), target);
    Some(unwrapped)
}

fn int_or_string(version: Version, converted: &mut Map<String, Value>) {
    match version {
        Version::V2 => {
            converted.insert("type".to_owned(), json!("string"));
            converted.insert("format".to_owned(), json!("int-or-string"));
        }
        Version::V3 => {
            converted.insert("format".to_owned(), json!("int-or-string"));
            converted.insert("oneOf".to_owned(), json!([{ "type": "integer" }, { "type": "string" }]));
        }
    }
}

/// In version 3 nothing may stand beside a reference, so it is wrapped.
fn converted_reference(version: Version, map: &Map<String, Value>, name: &str, property: bool) -> Value {
    let target = reference(version, name);
    let mut beside = map.clone();
    beside.remove("$ref");
    if version == Version::V2 || beside.is_empty() || !property {
        beside.extend(target.as_object().cloned().unwrap_or_default());
        return Value::Object(beside);
    }
    beside.insert("allOf".to_owned(), json!([target]));
    Value::Object(beside)
}

/// A custom kind's schema, with the fields every object has.
fn custom(version: Version, info: &ResourceInfo, schema: &Value) -> Value {
    let mut schema = if schema.is_object() { schema.clone() } else { json!({ "type": "object" }) };
    if version == Version::V2 {
        plain(&mut schema);
    }
    let resource = &info.resource;
    schema["x-kubernetes-group-version-kind"] =
        json!([{ "group": resource.group, "kind": resource.kind, "version": resource.version }]);
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let fields = &mut schema["properties"];
    for (field, text) in [
        ("apiVersion", "The versioned schema of this representation of an object."),
        ("kind", "The REST resource this object represents."),
    ] {
        if !fields[field].is_object() {
            fields[field] = json!({ "type": "string", "description": text });
        }
    }
    let meta = match version {
        Version::V2 => reference(version, META),
        Version::V3 => json!({ "allOf": [reference(version, META)] }),
    };
    fields["metadata"] = meta;
    schema
}

/// Takes away what version 2 can't say.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            for name in ["oneOf", "anyOf", "not", "nullable", "x-kubernetes-validations"] {
                map.remove(name);
            }
            if map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
                map.remove("properties");
                map.remove("items");
            }
            map.values_mut().for_each(plain);
        }
        Value::Array(list) => list.iter_mut().for_each(plain),
        _ => {}
    }
}
