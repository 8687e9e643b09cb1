//! The patches that change what is stored.
//!
//! - [`merge`]: JSON merge patch.
//! - [`strategic`]: strategic merge patch, by the merge keys of built-in kinds.
//! - JSON patch comes from the `json-patch` crate.
//!
//! Server-side apply is not here but in [`super::ownership`].

pub mod merge;
pub mod strategic;

use super::registry::ResourceInfo;
use crate::server::Status;
use serde_json::Value;

/// The kind of a patch, by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json`.
    Json,
    /// `application/merge-patch+json`.
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
    /// `application/apply-patch+yaml`: server-side apply.
    Apply,
}

impl PatchKind {
    /// Reads a `Content-Type` header.
    pub fn from_content_type(text: &str) -> Option<Self> {
        match text.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// Applies a JSON, merge or strategic patch to `current`.
///
/// # Errors
/// 400 if the patch can't be read, 415 if the kind can't be patched so, 422 if it doesn't fit.
pub fn apply_patch(
    kind: PatchKind,
    info: &ResourceInfo,
    mut current: Value,
    body: &[u8],
) -> Result<Value, Status> {
    match kind {
        PatchKind::Json => json(info, current, body),
        PatchKind::Merge => {
            merge::merge(&mut current, object(body)?);
            Ok(current)
        }
        PatchKind::Strategic if info.is_strategic() => {
            let patch = object(body)?;
            strategic::merge(&info.schema, current, &patch).map_err(|e| Status::bad_request(e.to_string()))
        }
        PatchKind::Strategic | PatchKind::Apply => Err(Status::new(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
    }
}

fn object(body: &[u8]) -> Result<Value, Status> {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(Status::bad_request("error decoding patch: json: cannot unmarshal into an object")),
        Err(e) => Err(Status::bad_request(format!("error decoding patch: {e}"))),
    }
}

fn json(info: &ResourceInfo, mut current: Value, body: &[u8]) -> Result<Value, Status> {
    let patch: json_patch::Patch = serde_json::from_slice(body)
        .map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
    let name = current["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    json_patch::patch(&mut current, &patch).map_err(|e| {
        let message = format!("the server rejected our request due to an error in our request: {e}");
        let mut status = Status::invalid(&info.resource, &name, &[("", "FieldValueInvalid", e.to_string())]);
        status.message = message;
        status
    })?;
    Ok(current)
}
