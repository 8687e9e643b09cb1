//! Who manages which field: recorded for writes that are not applies.

use super::kinds::Kind;
use super::object::{Stored, metadata};
use super::options::{Act, Subresource};
use crate::schema::{Managers, Writer, track_update};
use serde_json::Value;

/// Kinds written so often, and applied so never, that their fields' managers are not recorded.
const UNTRACKED: &[&str] = &["leases", "events"];

/// Who manages an object that is written.
pub(crate) enum Ownership {
    /// Who writes it comes to own what it changes.
    Tracked,
    /// Known already, from a server-side apply.
    Known(Managers),
}

/// What a client says of who manages the object that it sends; it is taken out of it.
pub(crate) fn take_sent(object: &mut Value) -> Option<Value> {
    metadata(object).remove("managedFields")
}

/// Who manages an object after a write.
pub(crate) fn managers(
    act: &Act,
    kind: &Kind,
    old: Option<&Stored>,
    object: &Value,
    sent: Option<&Value>,
    subresource: Subresource,
) -> Managers {
    if !act.track || UNTRACKED.contains(&kind.resource.plural.as_ref()) {
        let before = || old.map(|old| old.managers.clone()).unwrap_or_default();
        return sent.map_or_else(before, Managers::parse);
    }
    let now = act.stamp();
    let writer = Writer { manager: &act.manager, now: &now, subresource: subresource.as_str() };
    let old = old.map(|old| (&*old.object, &old.managers));
    track_update(&kind.info, old, object, sent, writer)
}
