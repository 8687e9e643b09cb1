//! Who owns what after a write that isn't an apply.

use super::compare::changed;
use super::entries::{self, Entry, Operation, without_system_fields};
use super::set::FieldSet;
use crate::schema::registry::ResourceInfo;
use serde_json::Value;

/// Who writes, when and through what.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The field manager: the query parameter, or the first word of the user agent.
    pub manager: &'a str,
    /// The time of the request, as `metav1.Time`.
    pub now: &'a str,
    /// The subresource written through; empty for the object itself.
    pub subresource: &'a str,
}

/// Sets `managedFields` of `new`, which replaces `old`, after a create, update or patch.
///
/// The writer comes to own what it changed; who owned what has been changed or taken away no
/// longer does. A client that sends an empty list of entries resets ownership on purpose.
pub fn track_update(info: &ResourceInfo, old: Option<&Value>, new: &mut Value, writer: Writer<'_>) {
    let mut owners = if is_reset(new) { Vec::new() } else { old.map(entries::read).unwrap_or_default() };
    let schema = &*info.schema;
    let nothing = Value::Null;
    let old = old.unwrap_or(&nothing);
    let mut mine = changed(schema, old, new);
    without_system_fields(&mut mine);
    if !owners.is_empty() {
        let mut before = changed(schema, new, old);
        without_system_fields(&mut before);
        let taken_away =
            if before.is_empty() { before } else { before.difference(&FieldSet::of(schema, new)) };
        for owner in &mut owners {
            if !taken_away.is_empty() {
                owner.fields = owner.fields.difference(&taken_away);
            }
            if !owner.is(writer.manager, Operation::Update, writer.subresource) {
                owner.fields = owner.fields.difference(&mine);
            }
        }
    }
    if !mine.is_empty() {
        let present = owners.iter().position(|e| e.is(writer.manager, Operation::Update, writer.subresource));
        let fields = match present {
            Some(index) => owners.remove(index).fields.union(&mine),
            None => mine,
        };
        owners.push(Entry {
            manager: writer.manager.to_owned(),
            operation: Operation::Update,
            api_version: info.resource.api_version(),
            time: Some(writer.now.to_owned()),
            subresource: writer.subresource.to_owned(),
            fields,
        });
    }
    entries::write(new, owners);
}

fn is_reset(new: &Value) -> bool {
    new["metadata"]["managedFields"]
        .as_array()
        .is_some_and(|sent| sent.iter().all(|entry| entry.as_object().is_some_and(serde_json::Map::is_empty)))
}
