//! Server-side apply.

use super::combine::{merge, remove};
use super::compare::changed;
use super::entries::{Entry, Managers, Operation, without_system_fields};
use super::set::FieldSet;
use crate::schema::registry::ResourceInfo;
use crate::server::Status;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Who applies, and how.
#[derive(Clone, Copy, Debug)]
pub struct Applier<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// Whether fields of others are taken over instead of refused.
    pub force: bool,
    /// The time of the request, as `metav1.Time`.
    pub now: &'a str,
    /// The subresource applied through; empty for the object itself.
    pub subresource: &'a str,
}

/// Applies a configuration to `current` (none: the result is to be created).
///
/// The result still has to go through [`crate::schema::prepare()`]; beside it is who manages it then.
///
/// # Errors
/// 409 with a cause for every field that another manager owns, 400 if the configuration holds
/// `managedFields`.
pub fn server_side_apply(
    info: &ResourceInfo,
    current: Option<(&Value, &Managers)>,
    applied: &Value,
    applier: Applier<'_>,
) -> Result<(Value, Managers), Status> {
    if applied["metadata"]["managedFields"].as_array().is_some_and(|entries| !entries.is_empty()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let mut applied = without_nulls(applied);
    if let Some(metadata) = applied.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    let schema = &*info.schema;
    let empty = json!({
        "apiVersion": info.resource.api_version(),
        "kind": info.resource.kind,
        "metadata": {},
    });
    let nobody = Managers::default();
    let (current, owners) = current.unwrap_or((&empty, &nobody));
    let mut owners = owners.entries().to_vec();
    let mut wanted = FieldSet::applied(schema, &applied);
    without_system_fields(&mut wanted);

    let mut merged = merge(Some(schema), current, &applied);
    let index = owners.iter().position(|e| e.is(applier.manager, Operation::Apply, applier.subresource));
    let before = index.map(|index| owners.remove(index));

    let touched = changed(schema, current, &merged).intersection(&wanted);
    settle_conflicts(info, &mut owners, &touched, applier)?;
    if let Some(before) = &before {
        drop_unapplied(info, &mut merged, &before.fields, &wanted, &owners);
    }
    let same = before.as_ref().is_some_and(|before| *before.fields == wanted) && merged == *current;
    let time = match &before {
        Some(before) if same => before.time.clone(),
        _ => Some(applier.now.to_owned()),
    };
    owners.push(Entry {
        manager: applier.manager.to_owned(),
        operation: Operation::Apply,
        api_version: info.resource.api_version(),
        time,
        subresource: applier.subresource.to_owned(),
        fields: wanted.into(),
    });
    Ok((merged, Managers::of(owners)))
}

/// Fields that others own and that this apply changes: refused, or taken over by force.
fn settle_conflicts(
    info: &ResourceInfo,
    owners: &mut [Entry],
    touched: &FieldSet,
    applier: Applier<'_>,
) -> Result<(), Status> {
    let conflicts: Vec<(usize, FieldSet)> = owners
        .iter()
        .enumerate()
        .map(|(index, owner)| (index, owner.fields.intersection(touched)))
        .filter(|(_, both)| !both.is_empty())
        .collect();
    if !conflicts.is_empty() && !applier.force {
        return Err(conflict(owners, &conflicts, info));
    }
    for (index, both) in conflicts {
        owners[index].fields = owners[index].fields.difference(&both).into();
    }
    Ok(())
}

/// What a manager applied before, applies no longer, and nobody else owns goes away.
fn drop_unapplied(
    info: &ResourceInfo,
    merged: &mut Value,
    before: &FieldSet,
    wanted: &FieldSet,
    owners: &[Entry],
) {
    let held = owners.iter().fold(wanted.clone(), |all, owner| all.union(&owner.fields));
    let dropped = unheld(before, &held);
    remove(Some(&info.schema), merged, &dropped);
}

/// Of `before`, what nobody holds: neither the place itself nor anything below it.
fn unheld(before: &FieldSet, held: &FieldSet) -> FieldSet {
    let mut result = FieldSet { member: before.member && held.is_empty(), ..FieldSet::default() };
    for (step, ours) in &before.children {
        let rest = match held.children.get(step) {
            Some(theirs) => unheld(ours, theirs),
            None => ours.clone(),
        };
        if !rest.is_empty() {
            result.children.insert(step.clone(), rest);
        }
    }
    result
}

/// An applied null says nothing.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

fn conflict(owners: &[Entry], conflicts: &[(usize, FieldSet)], info: &ResourceInfo) -> Status {
    let mut sorted: Vec<(String, Vec<String>)> =
        conflicts.iter().map(|(index, fields)| (described(&owners[*index], info), fields.paths())).collect();
    sorted.sort();
    let count: usize = sorted.iter().map(|(_, paths)| paths.len()).sum();
    let mut status = Status::new(409, "Conflict", String::new());
    let mut sentences = Vec::new();
    for (who, paths) in &sorted {
        sentences.push(if count == 1 {
            format!("conflict with {who}: {}", paths[0])
        } else {
            let listed: Vec<String> = paths.iter().map(|path| format!("- {path}")).collect();
            format!("conflicts with {who}:\n{}", listed.join("\n"))
        });
        for path in paths {
            status = status.cause("FieldManagerConflict", Some(path), format!("conflict with {who}"));
        }
    }
    let noun = if count == 1 { "conflict" } else { "conflicts" };
    status.message = format!("Apply failed with {count} {noun}: {}", sentences.join("\n"));
    status
}

/// A manager as conflict messages name it.
fn described(owner: &Entry, info: &ResourceInfo) -> String {
    let mut text = format!("{:?}", owner.manager);
    // Writing to a String can't fail.
    if !owner.subresource.is_empty() {
        let _ = write!(text, " with subresource {:?}", owner.subresource);
    }
    if owner.operation == Operation::Update || owner.api_version != info.resource.api_version() {
        let _ = write!(text, " using {}", owner.api_version);
    }
    if let (Operation::Update, Some(time)) = (owner.operation, &owner.time) {
        let _ = write!(text, " at {time}");
    }
    text
}
