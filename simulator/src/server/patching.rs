//! From patch bytes to a changed object, by the schema's own patches.

use super::kinds::Kind;
use super::object::Stored;
use super::options::{Act, Subresource};
use super::status::Status;
use crate::schema::{Applier, Managers, PatchKind, apply_patch, server_side_apply};
use serde_json::Value;

/// Applies a JSON, merge or strategic patch to the object as the patch's version shows it.
pub(crate) fn patch(
    patch: PatchKind,
    kind: &Kind,
    current: &Stored,
    subresource: Subresource,
    body: &[u8],
) -> Result<Value, Status> {
    // What a write of the status does not stand for is put back anyway; a JSON patch may ask for it.
    let partly = subresource == Subresource::Status && !kind.custom && patch != PatchKind::Json;
    let mut object = if partly { without_spec(&current.object) } else { (*current.object).clone() };
    kind.info.present(&mut object);
    // Nearly nobody touches them, and they are as large as the rest.
    if !current.managers.is_empty() && String::from_utf8_lossy(body).contains("managedFields") {
        object["metadata"]["managedFields"] = current.managers.to_value();
    }
    apply_patch(patch, &kind.info, object, body)
}

/// A server-side apply.
pub(crate) fn apply(
    act: &Act,
    kind: &Kind,
    current: Option<&Stored>,
    applied: &Value,
    subresource: Subresource,
) -> Result<(Value, Managers), Status> {
    let shown = current.map(|current| (presented(kind, &current.object), current.managers.clone()));
    let current = shown.as_ref().map(|(object, managers)| (object, managers));
    let now = act.stamp();
    let applier =
        Applier { manager: &act.manager, force: act.force, now: &now, subresource: subresource.as_str() };
    server_side_apply(&kind.info, current, applied, applier)
}

fn without_spec(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    let kept = fields.filter(|(name, _)| ["metadata", "status"].contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into()
}

fn presented(kind: &Kind, object: &Value) -> Value {
    let mut object = object.clone();
    kind.info.present(&mut object);
    object
}
