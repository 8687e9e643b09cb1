//! Small hands for filling in what is absent.

use serde_json::{Map, Value};

/// Sets a field unless it is there.
pub(super) fn default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut()
        && map.get(field).is_none_or(Value::is_null)
    {
        map.insert(field.to_owned(), value.into());
    }
}

/// An object field, made if absent.
pub(super) fn object<'a>(parent: &'a mut Value, field: &str) -> &'a mut Value {
    if !parent[field].is_object() {
        parent[field] = Value::Object(Map::new());
    }
    &mut parent[field]
}

/// The items of a list field, or none.
pub(super) fn items<'a>(parent: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    parent.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

/// A field that is an object, if it is there.
pub(super) fn existing<'a>(parent: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    parent.get_mut(field).filter(|value| value.is_object())
}

/// Takes a field away if it has the value that Go leaves out.
pub(super) fn drop_zero(object: &mut Value, field: &str) {
    if let Some(map) = object.as_object_mut() {
        let zero = match map.get(field) {
            Some(Value::Bool(on)) => !on,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Number(number)) => number.as_i64() == Some(0),
            _ => false,
        };
        if zero {
            map.remove(field);
        }
    }
}
