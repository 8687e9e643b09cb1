//! Who manages which field: recorded for writes that are not applies.

use super::kinds::Kind;
use super::options::{Act, Subresource};
use crate::schema::{Writer, track_update};
use serde_json::Value;

/// Kinds written so often, and applied so never, that their fields' managers are not recorded.
const UNTRACKED: &[&str] = &["leases", "events"];

/// Records the fields a write changed as its manager's, unless the act doesn't want it.
pub(crate) fn track(
    act: &Act,
    kind: &Kind,
    old: Option<&Value>,
    object: &mut Value,
    subresource: Subresource,
) {
    if !act.track || UNTRACKED.contains(&kind.resource.plural.as_ref()) {
        return;
    }
    let now = act.stamp();
    let writer = Writer { manager: &act.manager, now: &now, subresource: subresource.as_str() };
    track_update(&kind.info, old, object, writer);
}
