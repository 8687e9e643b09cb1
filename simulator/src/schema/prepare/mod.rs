//! Making an object that a client sent fit to be stored: types, unknown fields, defaults, rules.
//!
//! - [`decode()`]: reading it from the wire.
//! - [`prepare()`]: everything between reading and storing.
//! - [`rules`]: what built-in kinds demand, and what of them can't be changed.

pub mod decode;
pub mod rules;

pub use decode::decode;

use super::defaults;
use super::registry::ResourceInfo;
use super::structural::{Dialect, normalise, types, validate};
use crate::server::Status;
use serde_json::Value;

/// What happens to fields that the schema doesn't know or that are given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// They are dropped without a word.
    Ignore,
    /// They are dropped, and the answer carries a warning.
    #[default]
    Warn,
    /// The request fails.
    Strict,
}

impl FieldValidation {
    /// Reads the query parameter `fieldValidation`.
    ///
    /// # Errors
    /// 400 for another word than `Ignore`, `Warn` or `Strict`.
    pub fn from_query(text: Option<&str>) -> Result<Self, Status> {
        match text {
            None | Some("" | "Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => Err(Status::bad_request(format!(
                "invalid fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// Something the client should know though the request succeeded; sent as a `Warning` header.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning(pub String);

/// Makes `object` fit to be stored in the place of `old` (none for a new object).
///
/// It is pruned, defaulted and validated. Its name must be settled before.
///
/// # Errors
/// 400 if it can't be read as its kind, 422 if it breaks a rule.
pub fn prepare(
    info: &ResourceInfo,
    object: &mut Value,
    old: Option<&Value>,
    strictness: FieldValidation,
) -> Result<Vec<Warning>, Status> {
    if !object.is_object() {
        return Err(unreadable(info, "json: cannot unmarshal into Go value"));
    }
    info.present(object);
    if !object["metadata"].is_object() {
        object["metadata"] = serde_json::json!({});
    }
    let warnings = prune(info, object, strictness)?;
    if info.is_custom() {
        custom(info, object, old, warnings)
    } else {
        defaults::apply(info, object, old.is_none());
        rules::check(info, object, old)?;
        Ok(warnings)
    }
}

/// Built-in kinds whose status has defaults.
const DEFAULTED: &[&str] = &["Namespace", "PersistentVolume", "PersistentVolumeClaim", "Service"];

/// The same for an object of which only the status was written: all but it and metadata is as it is stored, and fit.
///
/// # Errors
/// Those of [`prepare`].
pub fn prepare_status(
    info: &ResourceInfo,
    object: &mut Value,
    old: Option<&Value>,
    strictness: FieldValidation,
) -> Result<Vec<Warning>, Status> {
    let fields = match object.as_object_mut() {
        Some(fields) if !info.is_custom() && !DEFAULTED.contains(&&*info.resource.kind) => fields,
        _ => return prepare(info, object, old, strictness),
    };
    let written = |name: &str| ["apiVersion", "kind", "metadata", "status"].contains(&name);
    let stored: Vec<(String, Value)> = fields
        .iter_mut()
        .filter(|(name, _)| !written(name))
        .map(|(name, value)| (name.clone(), value.take()))
        .collect();
    fields.retain(|name, _| written(name));
    let warnings = prune(info, object, strictness)?;
    if let Some(fields) = object.as_object_mut() {
        fields.extend(stored);
    }
    Ok(warnings)
}

fn prune(
    info: &ResourceInfo,
    object: &mut Value,
    strictness: FieldValidation,
) -> Result<Vec<Warning>, Status> {
    let dialect = if info.is_custom() { Dialect::Structural } else { Dialect::Typed };
    if dialect == Dialect::Typed
        && let Some(complaint) = types::mismatch(&info.schema, object)
    {
        return Err(unreadable(info, &complaint));
    }
    let mut unknown = Vec::new();
    normalise(&info.schema, dialect, object, &mut unknown);
    if unknown.is_empty() || strictness == FieldValidation::Ignore {
        return Ok(Vec::new());
    }
    let said: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    if strictness == FieldValidation::Strict {
        return Err(unreadable(info, &format!("strict decoding error: {}", said.join(", "))));
    }
    Ok(said.into_iter().map(Warning).collect())
}

fn custom(
    info: &ResourceInfo,
    object: &Value,
    old: Option<&Value>,
    mut warnings: Vec<Warning>,
) -> Result<Vec<Warning>, Status> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let found = validate(&info.schema, object, old);
    if !found.errors.is_empty() {
        let errors: Vec<(&str, &str, String)> =
            found.errors.iter().map(|e| (e.field.as_str(), e.reason, e.message.clone())).collect();
        return Err(Status::invalid(&info.resource, name, &errors));
    }
    warnings.extend(
        found.unevaluated.into_iter().map(|why| Warning(format!("validation rule not evaluated: {why}"))),
    );
    Ok(warnings)
}

/// What the API server says of a body it can't read as the kind of the URL.
fn unreadable(info: &ResourceInfo, why: &str) -> Status {
    let (kind, version) = (&info.resource.kind, &info.resource.version);
    Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
}
