//! Update, of an object or one of its parts.

use super::create::{check_type, place};
use crate::server::admission::{self, Write};
use crate::server::kinds::Kind;
use crate::server::object::{Entry, carry, finalizers, is_terminating, metadata, name_of, text, uid_of};
use crate::server::options::{Act, Subresource};
use crate::server::rules;
use crate::server::scale;
use crate::server::state::{State, Written, at_rest};
use crate::server::status::Status;
use crate::server::tracking::{self, Ownership};
use serde_json::{Value, json};
use std::borrow::Cow;

impl State {
    /// Replaces an object, or the part of it that a subresource stands for.
    pub(crate) fn update(
        &mut self,
        act: &Act,
        kind: &Kind,
        namespace: &str,
        name: &str,
        subresource: Subresource,
        object: Value,
    ) -> Result<Written, Status> {
        self.replace(act, kind, namespace, name, subresource, object, Ownership::Tracked)
    }

    /// [`State::update`], by who may know already who manages the object then.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn replace(
        &mut self,
        act: &Act,
        kind: &Kind,
        namespace: &str,
        name: &str,
        subresource: Subresource,
        mut object: Value,
        ownership: Ownership,
    ) -> Result<Written, Status> {
        self.committable()?;
        let resource = &kind.resource;
        let current = self.current(resource, namespace, name)?;
        check_type(resource, &mut object)?;
        let sent = tracking::take_sent(&mut object);
        place(resource, namespace, &mut object)?;
        check_identity(kind, name, &current, &object)?;
        if subresource == Subresource::None && text(&object, "/metadata/resourceVersion").is_empty() {
            rules::check_unconditional(kind, name)?;
        }
        let old = &*current.object;
        keep_system_fields(old, &mut object);
        restrict(kind, subresource, old, &mut object);
        rules::prepare_update(kind, subresource, old, &mut object);
        let warnings = self.prepare(act, kind, &mut object, Some(old), subresource)?;
        let (shown, shown_old) = (shown(kind, subresource, &object), shown(kind, subresource, old));
        let write =
            Write { kind, subresource, operation: "UPDATE", object: Some(&shown), old: Some(&shown_old) };
        admission::mutate(self, &write)?;
        check_finalizers(kind, name, old, &object)?;
        rules::validate_update(kind, subresource, &object)?;
        admission::validate(self, act, &write)?;
        bump_generation(kind, subresource, old, &mut object);
        rules::allocate(self, kind, Some(old), &mut object)?;
        metadata(&mut object).insert("resourceVersion".into(), json!(text(old, "/metadata/resourceVersion")));
        let storage = at_rest(kind, &mut object);
        // Who manages which field matters only to an apply.
        let unmoved = match &ownership {
            Ownership::Known(managers) => managers.same_but_for_times(&current.managers),
            Ownership::Tracked => true,
        };
        if unmoved && same(kind, subresource, old, &object) {
            return Ok(Written { entry: current, created: false, warnings });
        }
        let managers = match ownership {
            Ownership::Known(managers) => managers,
            Ownership::Tracked => {
                tracking::managers(act, kind, Some(&current), &object, sent.as_ref(), subresource)
            }
        };
        let last = ends(kind, subresource, &object);
        let entry = self.commit(act, &storage, namespace, name, object, managers);
        // The write that took the last finalizer: the object goes with it.
        let gone = if last { self.erase(act, &storage, namespace, name) } else { None };
        let entry = gone.unwrap_or(entry);
        Ok(Written { entry, created: false, warnings })
    }
}

/// What admission is shown of an object: the Scale, where that is what is written.
fn shown<'a>(kind: &Kind, subresource: Subresource, object: &'a Value) -> Cow<'a, Value> {
    match subresource {
        Subresource::Scale => Cow::Owned(scale::view(kind, object)),
        _ => Cow::Borrowed(object),
    }
}

fn check_identity(kind: &Kind, name: &str, current: &Entry, object: &Value) -> Result<(), Status> {
    let resource = &kind.resource;
    let said = name_of(object);
    if !said.is_empty() && said != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({said}) does not match the name on the URL ({name})"
        )));
    }
    let uid = uid_of(object);
    let found = uid_of(&current.object);
    if !uid.is_empty() && uid != found {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}");
        return Err(Status::conflict(resource, name, &why));
    }
    let version = text(object, "/metadata/resourceVersion");
    if !version.is_empty() && version != "0" && version != text(&current.object, "/metadata/resourceVersion")
    {
        return Err(Status::modified(resource, name));
    }
    Ok(())
}

/// What no client can change.
fn keep_system_fields(old: &Value, object: &mut Value) {
    let metadata = metadata(object);
    let before = &old["metadata"];
    for field in [
        "name",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
    ] {
        carry(before, metadata, field);
    }
    metadata.remove("selfLink");
}

/// Keeps everything the subresource doesn't stand for, and the other way round.
fn restrict(kind: &Kind, subresource: Subresource, old: &Value, object: &mut Value) {
    match subresource {
        Subresource::None if kind.status => {
            if let Some(map) = object.as_object_mut() {
                carry(old, map, "status");
            }
        }
        Subresource::None => {}
        Subresource::Status | Subresource::Approval => {
            let mut kept = old["metadata"].clone();
            if let Some(kept) = kept.as_object_mut()
                && keeps_metadata_on_status(kind)
            {
                for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
                    carry(&object["metadata"], kept, field);
                }
            }
            if let (Some(map), Some(before)) = (object.as_object_mut(), old.as_object()) {
                // Most of what a client sends is as it was: only what differs is copied.
                map.retain(|name, _| name == "status" || before.contains_key(name));
                for (name, value) in
                    before.iter().filter(|(name, _)| *name != "status" && *name != "metadata")
                {
                    if map.get(name) != Some(value) {
                        map.insert(name.clone(), value.clone());
                    }
                }
                map.insert("metadata".to_owned(), kept);
            }
        }
        Subresource::Finalize => {
            let mut kept = old.clone();
            if let Some(map) = kept.as_object_mut() {
                carry(object, map, "spec");
            }
            *object = kept;
        }
        _ => {}
    }
}

/// For most kinds a status write may not touch metadata; for these it may.
fn keeps_metadata_on_status(kind: &Kind) -> bool {
    !kind.custom
        && ["nodes", "pods", "services", "namespaces", "persistentvolumes", "persistentvolumeclaims"]
            .contains(&kind.resource.plural.as_ref())
}

fn check_finalizers(kind: &Kind, name: &str, old: &Value, object: &Value) -> Result<(), Status> {
    if !is_terminating(old) {
        return Ok(());
    }
    let before = finalizers(old);
    let added: Vec<String> = finalizers(object).into_iter().filter(|f| !before.contains(f)).collect();
    if added.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = added.iter().map(|f| format!("\"{f}\"")).collect();
    let why = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        list.join(", ")
    );
    Err(Status::invalid(&kind.resource, name, &[("metadata.finalizers", "FieldValueForbidden", why)]))
}

fn bump_generation(kind: &Kind, subresource: Subresource, old: &Value, object: &mut Value) {
    if subresource == Subresource::Status || !rules::has_generation(kind) {
        return;
    }
    let differs = |object: &Value| {
        let keys = |value: &Value| -> Vec<String> {
            value.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
        };
        let mut all = keys(old);
        all.extend(keys(object));
        let skipped = ["metadata", "apiVersion", "kind"];
        all.iter().any(|key| {
            !skipped.contains(&key.as_str())
                && !(key == "status" && (kind.status || !kind.custom))
                && old.get(key) != object.get(key)
        })
    };
    if differs(object) {
        let generation = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
        metadata(object).insert("generation".into(), json!(generation + 1));
    }
}

/// Whether nothing would change.
fn same(kind: &Kind, subresource: Subresource, old: &Value, object: &Value) -> bool {
    let (Some(a), Some(b)) = (old.as_object(), object.as_object()) else { return old == object };
    if subresource == Subresource::Status && !kind.custom {
        // All but the status was put back as it was.
        if a.get("status") != b.get("status") {
            return false;
        }
    } else if a.iter().any(|(key, value)| key != "metadata" && b.get(key) != Some(value))
        || a.len() != b.len()
    {
        return false;
    }
    let empty = serde_json::Map::new();
    let (a, b) =
        (old["metadata"].as_object().unwrap_or(&empty), object["metadata"].as_object().unwrap_or(&empty));
    let counts = |map: &serde_json::Map<String, Value>| map.values().filter(|value| !value.is_null()).count();
    counts(a) == counts(b) && a.iter().all(|(key, value)| b.get(key) == Some(value))
}

/// Whether this write is the last one of an object that waits to be deleted.
fn ends(kind: &Kind, subresource: Subresource, object: &Value) -> bool {
    if !is_terminating(object) || !finalizers(object).is_empty() {
        return false;
    }
    if kind.resource.plural == "namespaces" && kind.resource.group.is_empty() {
        let finalized =
            object.pointer("/spec/finalizers").and_then(Value::as_array).is_none_or(Vec::is_empty);
        return finalized && matches!(subresource, Subresource::Finalize | Subresource::None);
    }
    object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0) == 0
}
