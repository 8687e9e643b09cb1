//! From a JSON schema, as a CRD or a built-in definition holds it, to a [`Schema`].

use super::rules::Rules;
use super::schema::{Kind, ListType, PatchStrategy, Schema};
use serde_json::Value;

/// Compiles a JSON schema; `reference` finds the index of a built-in definition by its name.
pub fn compile(json: &Value, reference: &dyn Fn(&str) -> Option<usize>) -> Schema {
    let mut schema = Schema::of(kind(json, reference));
    schema.nullable = flag(json, "nullable") || matches!(schema.kind, Kind::Any);
    schema.preserve_unknown =
        flag(json, "x-kubernetes-preserve-unknown-fields") || matches!(schema.kind, Kind::Any);
    schema.embedded = flag(json, "x-kubernetes-embedded-resource");
    schema.required = texts(json, "required");
    schema.default = json.get("default").cloned();
    schema.list_type = match json["x-kubernetes-list-type"].as_str() {
        Some("set") => ListType::Set,
        Some("map") => ListType::Map(texts(json, "x-kubernetes-list-map-keys")),
        _ => ListType::Atomic,
    };
    schema.atomic = json["x-kubernetes-map-type"] == "atomic";
    let strategy = json["x-kubernetes-patch-strategy"].as_str().unwrap_or_default();
    schema.strategy =
        PatchStrategy { merge: strategy.contains("merge"), retain_keys: strategy.contains("retainKeys") };
    schema.merge_key = json["x-kubernetes-patch-merge-key"].as_str().map(str::to_owned);
    schema.rules = Rules::read(json).map(Box::new);
    schema
}

fn kind(json: &Value, reference: &dyn Fn(&str) -> Option<usize>) -> Kind {
    // A reference with a description of its own is wrapped: `allOf: [{$ref: …}]`.
    if let Some([only]) = json["allOf"].as_array().map(Vec::as_slice)
        && json.get("type").is_none()
        && only.get("$ref").is_some()
    {
        return kind(only, reference);
    }
    if let Some(name) = json["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or(name);
        return reference(name).map_or(Kind::Any, Kind::Reference);
    }
    if flag(json, "x-kubernetes-int-or-string") {
        return Kind::IntOrString;
    }
    match json["type"].as_str() {
        Some("object") => object(json, reference),
        Some("array") => {
            let items = json.get("items").map_or_else(Schema::any, |items| compile(items, reference));
            Kind::List(Box::new(items))
        }
        Some("string") => Kind::String,
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        // A schema with fields but no type is an object all the same.
        _ if json.get("properties").is_some() => object(json, reference),
        _ => Kind::Any,
    }
}

fn object(json: &Value, reference: &dyn Fn(&str) -> Option<usize>) -> Kind {
    if let Some(properties) = json["properties"].as_object() {
        let compiled =
            properties.iter().map(|(name, field)| (name.clone(), compile(field, reference))).collect();
        return Kind::Object(compiled);
    }
    match json.get("additionalProperties") {
        Some(values @ Value::Object(_)) => Kind::Map(Box::new(compile(values, reference))),
        Some(Value::Bool(true)) => Kind::Map(Box::new(Schema::any())),
        _ => Kind::Object(std::collections::BTreeMap::new()),
    }
}

fn flag(json: &Value, name: &str) -> bool {
    json.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn texts(json: &Value, name: &str) -> Vec<String> {
    json.get(name)
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default()
}
