//! From patch bytes to a changed object, by the schema's own patches.

use super::kinds::Kind;
use super::options::{Act, Subresource};
use super::status::Status;
use crate::schema::{Applier, PatchKind, apply_patch, server_side_apply};
use serde_json::Value;

/// Applies a JSON, merge or strategic patch to the object as the patch's version shows it.
pub(crate) fn patch(patch: PatchKind, kind: &Kind, current: &Value, body: &[u8]) -> Result<Value, Status> {
    apply_patch(patch, &kind.info, presented(kind, current), body)
}

/// A server-side apply.
pub(crate) fn apply(
    act: &Act,
    kind: &Kind,
    current: Option<&Value>,
    applied: &Value,
    subresource: Subresource,
) -> Result<Value, Status> {
    let current = current.map(|current| presented(kind, current));
    let now = act.stamp();
    let applier =
        Applier { manager: &act.manager, force: act.force, now: &now, subresource: subresource.as_str() };
    server_side_apply(&kind.info, current.as_ref(), applied, applier)
}

fn presented(kind: &Kind, object: &Value) -> Value {
    let mut object = object.clone();
    kind.info.present(&mut object);
    object
}
