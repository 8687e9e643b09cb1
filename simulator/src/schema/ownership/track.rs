//! Who owns what after a write that isn't an apply.

use super::compare::{changed, changed_in};
use super::entries::{Entry, Managers, Operation, without_system_fields};
use super::set::FieldSet;
use crate::schema::registry::ResourceInfo;
use crate::schema::structural::Schema;
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

/// Who manages `new`, which replaces `old`, after a create, update or patch.
///
/// The writer comes to own what it changed; who owned what has been changed or taken away no
/// longer does. A client that sends an empty list of entries resets ownership on purpose.
pub fn track_update(
    info: &ResourceInfo,
    old: Option<(&Value, &Managers)>,
    new: &Value,
    sent: Option<&Value>,
    writer: Writer<'_>,
) -> Managers {
    let mut owners = match old {
        Some((_, owners)) if !sent.is_some_and(is_reset) => owners.entries().to_vec(),
        _ => Vec::new(),
    };
    let old = old.map_or(&Value::Null, |(old, _)| old);
    let difference = Difference { schema: &info.schema, status_only: writer.subresource == "status" };
    let mine = difference.appeared(old, new);
    if !owners.is_empty() {
        let taken_away = difference.vanished(old, new);
        for owner in &mut owners {
            if owner.fields.meets(&taken_away) {
                owner.fields = owner.fields.difference(&taken_away).into();
            }
            let other = !owner.is(writer.manager, Operation::Update, writer.subresource);
            if other && owner.fields.meets(&mine) {
                owner.fields = owner.fields.difference(&mine).into();
            }
        }
    }
    if !mine.is_empty() {
        let present = owners.iter().position(|e| e.is(writer.manager, Operation::Update, writer.subresource));
        let fields = match present.map(|index| owners.remove(index).fields) {
            Some(fields) if fields.covers(&mine) => fields,
            Some(fields) => fields.union(&mine).into(),
            None => mine.into(),
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
    Managers::of(owners)
}

/// What a write changed.
struct Difference<'a> {
    schema: &'a Schema,
    /// Whether it can have changed no more than the status, and metadata.
    status_only: bool,
}

/// Where a write of the status can change anything.
const STATUS: &[&str] = &["metadata", "status"];

impl Difference<'_> {
    fn changed(&self, old: &Value, new: &Value) -> FieldSet {
        let mut fields = match self.status_only {
            true => changed_in(STATUS, self.schema, old, new),
            false => changed(self.schema, old, new),
        };
        without_system_fields(&mut fields);
        fields
    }

    /// The fields that are new or have new values.
    fn appeared(&self, old: &Value, new: &Value) -> FieldSet {
        self.changed(old, new)
    }

    /// The fields that are gone.
    fn vanished(&self, old: &Value, new: &Value) -> FieldSet {
        let before = self.changed(new, old);
        if before.is_empty() {
            return before;
        }
        before.difference(&match self.status_only {
            true => FieldSet::of_some(STATUS, self.schema, new),
            false => FieldSet::of(self.schema, new),
        })
    }
}

fn is_reset(sent: &Value) -> bool {
    sent.as_array()
        .is_some_and(|sent| sent.iter().all(|entry| entry.as_object().is_some_and(serde_json::Map::is_empty)))
}
