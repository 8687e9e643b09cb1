//! Whether JSON can be read as the Go type of a built-in kind; else what Go's decoder says.

use super::path::Path;
use super::schema::{Kind, Schema};
use serde_json::{Number, Value};

/// The first value that does not fit its field, as Go's JSON decoder complains about it.
pub fn mismatch(schema: &Schema, value: &Value) -> Option<String> {
    walk(schema, value, &Path::Root)
}

fn walk(schema: &Schema, value: &Value, path: &Path<'_>) -> Option<String> {
    let schema = schema.resolve();
    match (&schema.kind, value) {
        (_, Value::Null) | (Kind::Any | Kind::Reference(_), _) => None,
        (Kind::Object(properties), Value::Object(map)) => map.iter().find_map(|(name, field)| {
            properties.get(name).and_then(|known| walk(known, field, &Path::Field(path, name)))
        }),
        (Kind::Map(values), Value::Object(map)) => {
            map.iter().find_map(|(key, entry)| walk(values, entry, &Path::Field(path, key)))
        }
        (Kind::List(items), Value::Array(list)) => list.iter().find_map(|item| walk(items, item, path)),
        (Kind::String, Value::String(_))
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::Number, Value::Number(_)) => None,
        (Kind::Integer, Value::Number(number)) if has_room(schema, number) => None,
        (Kind::IntOrString, Value::Number(number)) if is_int32(number) => None,
        (Kind::IntOrString, Value::String(_)) => None,
        _ => Some(complaint(schema, value, path)),
    }
}

/// Whether a whole number fits the field's Go type.
fn has_room(schema: &Schema, number: &Number) -> bool {
    if go_integer(schema) == "int32" { is_int32(number) } else { number.is_i64() }
}

fn is_int32(number: &Number) -> bool {
    number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
}

/// The Go type of a whole number.
fn go_integer(schema: &Schema) -> &'static str {
    match schema.rules.as_ref().and_then(|rules| rules.format.as_deref()) {
        Some("int64") => "int64",
        _ => "int32",
    }
}

fn complaint(schema: &Schema, value: &Value, path: &Path<'_>) -> String {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if matches!(schema.kind, Kind::Integer | Kind::IntOrString) => {
            format!("number {number}")
        }
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    let wanted = match &schema.kind {
        Kind::Integer => go_integer(schema),
        Kind::IntOrString => "int32",
        Kind::Number => "float64",
        Kind::Boolean => "bool",
        Kind::Map(_) => "map[string]string",
        Kind::List(_) => "[]string",
        other => match other {
            Kind::Object(_) => "struct",
            _ => "string",
        },
    };
    format!("json: cannot unmarshal {found} into Go struct field {path} of type {wanted}")
}
