//! Delete and delete collection: preconditions, grace, finalizers and propagation.

use crate::clock::rfc3339;
use crate::server::admission::{self, Write};
use crate::server::kinds::Kind;
use crate::server::object::{
    Entry, finalizers, is_terminating, metadata, name_of, namespace_of, text, uid_of,
};
use crate::server::options::{Act, DeleteOptions, Propagation, Subresource};
use crate::server::rules;
use crate::server::state::State;
use crate::server::status::Status;
use k8s_openapi::jiff::SignedDuration;
use serde_json::{Value, json};

/// The finalizer of an object whose dependents go first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object whose dependents stay.
pub(crate) const ORPHAN: &str = "orphan";

/// What a delete came to.
pub(crate) enum Deleted {
    /// The object is gone; this was its last version.
    Gone(Entry),
    /// The object waits for its grace or its finalizers.
    Waiting(Entry),
}

impl Deleted {
    pub(crate) fn entry(&self) -> &Entry {
        match self {
            Self::Gone(entry) | Self::Waiting(entry) => entry,
        }
    }
}

impl State {
    /// Deletes an object, or marks it for deletion.
    pub(crate) fn delete(
        &mut self,
        act: &Act,
        kind: &Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let current = self.deletable(kind, namespace, name, options)?;
        let old = Some(&*current.object);
        let write = Write { kind, subresource: Subresource::None, operation: "DELETE", object: None, old };
        admission::mutate(self, &write)?;
        admission::validate(self, act, &write)?;
        Ok(self.take_away(act, kind, current, options))
    }

    /// [`State::delete`] as a part of something else, about which admission was asked where it is asked.
    pub(crate) fn delete_unasked(
        &mut self,
        act: &Act,
        kind: &Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let current = self.deletable(kind, namespace, name, options)?;
        Ok(self.take_away(act, kind, current, options))
    }

    /// The object, if these options and its kind's rules let it be deleted.
    fn deletable(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Entry, Status> {
        self.committable()?;
        let current = self.current(&kind.resource, namespace, name)?;
        check_preconditions(kind, name, &current, options)?;
        rules::validate_delete(kind, &current.object)?;
        Ok(current)
    }

    fn take_away(&mut self, act: &Act, kind: &Kind, current: Entry, options: &DeleteOptions) -> Deleted {
        let (namespace, name) = (namespace_of(&current.object), name_of(&current.object));
        let old = &*current.object;
        let grace = rules::grace(kind, old, options);
        let mut object = old.clone();
        propagate(kind, options, &mut object);
        if is_terminating(old) {
            let before =
                old.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
            if options.grace_period.is_some() && grace < before {
                self.mark(act, kind, &mut object, grace);
            }
        } else {
            self.mark(act, kind, &mut object, grace);
        }
        let left =
            object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
        let stays = left > 0 || !finalizers(&object).is_empty() || rules::holds_deletion(kind, &object);
        if !stays {
            // Who watches is told that no grace is left before it is told that the pod is gone.
            if is_terminating(old) && object != *old {
                self.commit(act, &kind.info.storage(), namespace, name, object, current.managers.clone());
            }
            let gone = self.erase(act, &kind.resource, namespace, name);
            return Deleted::Gone(gone.unwrap_or_else(|| current.clone()));
        }
        if object == *old {
            return Deleted::Waiting(current);
        }
        let managers = current.managers.clone();
        Deleted::Waiting(self.commit(act, &kind.info.storage(), namespace, name, object, managers))
    }

    /// Deletes every object that matches, as the list verb would select them.
    pub(crate) fn delete_collection(
        &mut self,
        act: &Act,
        kind: &Kind,
        selected: Vec<Entry>,
        options: &DeleteOptions,
    ) -> Result<Vec<Entry>, Status> {
        let mut done = Vec::new();
        for entry in selected {
            let (namespace, name) = (namespace_of(&entry.object), text(&entry.object, "/metadata/name"));
            match self.delete(act, kind, namespace, name, options) {
                Ok(deleted) => done.push(deleted.entry().clone()),
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status),
            }
        }
        Ok(done)
    }

    fn mark(&mut self, act: &Act, kind: &Kind, object: &mut Value, grace: i64) {
        let at = act.now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(act.now);
        let fields = metadata(object);
        fields.insert("deletionTimestamp".into(), json!(rfc3339(at)));
        fields.insert("deletionGracePeriodSeconds".into(), json!(grace));
        if rules::has_generation(kind) {
            let generation = fields.get("generation").and_then(Value::as_i64).unwrap_or(0);
            fields.insert("generation".into(), json!(generation + 1));
        }
        rules::mark_deleted(act, kind, object);
    }
}

fn check_preconditions(
    kind: &Kind,
    name: &str,
    current: &Entry,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let pairs = [
        ("UID", options.uid.as_deref(), uid_of(&current.object)),
        (
            "ResourceVersion",
            options.resource_version.as_deref(),
            text(&current.object, "/metadata/resourceVersion"),
        ),
    ];
    for (what, wanted, found) in pairs {
        if let Some(wanted) = wanted
            && wanted != found
        {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            );
            return Err(Status::conflict(&kind.resource, name, &why));
        }
    }
    Ok(())
}

/// Adds or removes the finalizers that stand for the propagation policy.
fn propagate(kind: &Kind, options: &DeleteOptions, object: &mut Value) {
    let before = finalizers(object);
    let default = if kind.resource.plural == "jobs" && kind.resource.group == "batch" {
        Some(Propagation::Orphan)
    } else {
        None
    };
    let has = |name: &str| before.iter().any(|f| f == name);
    let policy = options.propagation.or(match (has(ORPHAN), has(FOREGROUND)) {
        (true, _) => Some(Propagation::Orphan),
        (_, true) => Some(Propagation::Foreground),
        _ => default,
    });
    let mut after: Vec<String> =
        before.iter().filter(|f| *f != ORPHAN && *f != FOREGROUND).cloned().collect();
    match policy {
        Some(Propagation::Orphan) => after.push(ORPHAN.to_owned()),
        Some(Propagation::Foreground) => after.push(FOREGROUND.to_owned()),
        _ => {}
    }
    if after == before {
        return;
    }
    if after.is_empty() {
        metadata(object).remove("finalizers");
    } else {
        metadata(object).insert("finalizers".into(), json!(after));
    }
}
