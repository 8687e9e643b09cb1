//! From the bytes of a request to an object, noticing fields that are given twice.

use super::{FieldValidation, Warning};
use crate::schema::structural::path::Path;
use crate::server::Status;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Reads an object from JSON, or from YAML if it isn't JSON.
///
/// # Errors
/// 400 if it is neither or no object, or if a field is given twice and `strictness` forbids that.
pub fn decode(body: &[u8], strictness: FieldValidation) -> Result<(Value, Vec<Warning>), Status> {
    let (value, duplicates) = match json(body) {
        Ok(read) => read,
        Err(json_error) => match serde_saphyr::from_slice::<Value>(body) {
            Ok(value) if value.is_object() || value.is_array() => (value, Vec::new()),
            _ => {
                return Err(Status::bad_request(format!(
                    "the object provided is unrecognized (must be of type JSON or YAML): {json_error}"
                )));
            }
        },
    };
    if !value.is_object() {
        return Err(Status::bad_request(
            "couldn't get version/kind; json parse error: the body is no object",
        ));
    }
    let said: Vec<String> = duplicates.iter().map(|path| format!("duplicate field {path:?}")).collect();
    match strictness {
        FieldValidation::Strict if !said.is_empty() => {
            Err(Status::bad_request(format!("strict decoding error: {}", said.join(", "))))
        }
        FieldValidation::Warn | FieldValidation::Strict => {
            Ok((value, said.into_iter().map(Warning).collect()))
        }
        FieldValidation::Ignore => Ok((value, Vec::new())),
    }
}

fn json(body: &[u8]) -> Result<(Value, Vec<String>), serde_json::Error> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let seed = Seed { path: Path::Root, duplicates: &mut duplicates };
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, duplicates))
}

struct Seed<'a> {
    path: Path<'a>,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let path = Path::Index(&self.path, list.len());
            let seed = Seed { path, duplicates: &mut *self.duplicates };
            match access.next_element_seed(seed)? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let path = Path::Field(&self.path, &key);
            if map.contains_key(&key) {
                self.duplicates.push(path.to_string());
            }
            let value = access.next_value_seed(Seed { path, duplicates: &mut *self.duplicates })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
