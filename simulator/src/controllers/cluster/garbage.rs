//! Owner references: dependents go when the last of their owners is gone; with foreground
//! deletion an owner waits for them.

use crate::controllers::context::{Cx, gone_is_fine};
use crate::controllers::objects::{finalizers, is_terminating, items, name_of, namespace_of, text, uid_of};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::Resource;
use crate::server::{DeleteOptions, Event, EventKind, Object, Propagation, Status, Subresource};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// An object by uid; where it was is remembered beside it.
type Uid = String;

/// The garbage collector, with the place of every object that owns or is owned.
#[derive(Default)]
pub(crate) struct Garbage {
    places: BTreeMap<Uid, (Resource, String, String)>,
    dependents: BTreeMap<Uid, BTreeSet<Uid>>,
    gone: BTreeSet<Uid>,
}

impl Controller for Garbage {
    type Key = Uid;

    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Uid>) {
        let object = event.object();
        let uid = uid_of(object).to_owned();
        if event.kind == EventKind::Deleted {
            self.places.remove(&uid);
            for owner in owners(object) {
                let dependents = self.dependents.entry(owner.clone()).or_default();
                dependents.remove(&uid);
                // An owner that waits in the foreground may be done now.
                queue.add(owner);
            }
            if let Some(dependents) = self.dependents.remove(&uid) {
                self.gone.insert(uid);
                queue.add_all(dependents);
            }
            return;
        }
        let waits =
            is_terminating(object) && finalizers(object).iter().any(|f| f == FOREGROUND || f == ORPHAN);
        let same_owners = event.old.as_ref().is_some_and(|old| references(old) == references(object));
        if !same_owners || !self.places.contains_key(&uid) {
            let place = (event.resource.clone(), namespace_of(object).to_owned(), name_of(object).to_owned());
            self.places.insert(uid.clone(), place);
            for owner in owners(object) {
                self.dependents.entry(owner).or_default().insert(uid.clone());
            }
        }
        if waits || !same_owners && !references(object).is_empty() {
            queue.add(uid);
        }
    }

    fn sync(&mut self, cx: &Cx, uid: &Uid, _: &mut Queue<Uid>) -> Result<(), Status> {
        let Some((resource, namespace, name)) = self.places.get(uid) else { return Ok(()) };
        let Some(object) = cx.get(resource, namespace, name).filter(|o| uid_of(o) == uid) else {
            return Ok(());
        };
        let resource = resource.clone();
        if is_terminating(&object) {
            return self.release(cx, &resource, &object);
        }
        self.collect(cx, &resource, &object)
    }
}

fn references(object: &Value) -> &[Value] {
    items(object, "/metadata/ownerReferences")
}

fn owners(object: &Value) -> Vec<Uid> {
    references(object).iter().map(|owner| text(owner, "/uid").to_owned()).collect()
}

impl Garbage {
    /// Deletes an object none of whose owners exists any more; while some do, only the references
    /// to the others go.
    fn collect(&self, cx: &Cx, resource: &Resource, object: &Value) -> Result<(), Status> {
        let references = items(object, "/metadata/ownerReferences");
        let absent: Vec<&str> = references
            .iter()
            .filter(|reference| !self.exists(cx, object, reference))
            .map(|reference| text(reference, "/uid"))
            .collect();
        if absent.is_empty() {
            return Ok(());
        }
        if absent.len() < references.len() {
            return absent.into_iter().try_for_each(|uid| disown(cx, resource, object, uid));
        }
        let options = DeleteOptions {
            propagation: Some(Propagation::Background),
            ..DeleteOptions::of_uid(uid_of(object))
        };
        gone_is_fine(cx.direct.delete(resource, namespace_of(object), name_of(object), options))
    }

    fn exists(&self, cx: &Cx, object: &Value, reference: &Value) -> bool {
        let uid = text(reference, "/uid");
        if self.gone.contains(uid) {
            return false;
        }
        if self.places.contains_key(uid) {
            return true;
        }
        let Some(resource) = cx.direct.resource(text(reference, "/apiVersion"), text(reference, "/kind"))
        else {
            // Nobody knows the kind; when it goes, its objects go first and are seen going.
            return true;
        };
        let namespace = if resource.namespaced { namespace_of(object) } else { "" };
        cx.get(&resource, namespace, text(reference, "/name")).is_some_and(|owner| uid_of(&owner) == uid)
    }

    /// Takes the collector's own finalizers off an object that is being deleted, when it may go.
    fn release(&self, cx: &Cx, resource: &Resource, object: &Value) -> Result<(), Status> {
        let names = finalizers(object);
        let has = |name: &str| names.iter().any(|f| f == name);
        let dependents = self.dependents_of(cx, object);
        if has(FOREGROUND) {
            return self.foreground(cx, resource, object, &dependents);
        }
        if has(ORPHAN) {
            for (kind, dependent) in &dependents {
                disown(cx, kind, dependent, uid_of(object))?;
            }
            return without(cx, resource, object, ORPHAN);
        }
        Ok(())
    }

    /// An owner that waits for its dependents: they are deleted, those that others own too only let
    /// go; once none is left that blocks it, it goes itself.
    fn foreground(
        &self,
        cx: &Cx,
        resource: &Resource,
        object: &Value,
        dependents: &[(Resource, Object)],
    ) -> Result<(), Status> {
        let uid = uid_of(object);
        for (kind, dependent) in dependents.iter().filter(|(_, dependent)| !is_terminating(dependent)) {
            let references = items(dependent, "/metadata/ownerReferences");
            let others = references.iter().filter(|one| one["uid"] != uid);
            if others.into_iter().any(|one| self.exists(cx, dependent, one)) {
                disown(cx, kind, dependent, uid)?;
                continue;
            }
            // Only an owner of others waits for them in its turn.
            let owns = self.dependents.get(uid_of(dependent)).is_some_and(|all| !all.is_empty());
            let propagation = Some(if owns { Propagation::Foreground } else { Propagation::Background });
            let options = DeleteOptions { propagation, ..DeleteOptions::of_uid(uid_of(dependent)) };
            gone_is_fine(cx.direct.delete(kind, namespace_of(dependent), name_of(dependent), options))?;
        }
        let blocks = |dependent: &Value| {
            items(dependent, "/metadata/ownerReferences")
                .iter()
                .any(|one| one["uid"] == uid && one["blockOwnerDeletion"] == true)
        };
        let blocked = self.dependents_of(cx, object).iter().any(|(_, dependent)| blocks(dependent));
        if blocked { Ok(()) } else { without(cx, resource, object, FOREGROUND) }
    }

    fn dependents_of(&self, cx: &Cx, object: &Value) -> Vec<(Resource, Object)> {
        let uids = self.dependents.get(uid_of(object)).into_iter().flatten();
        uids.filter_map(|uid| {
            let (resource, namespace, name) = self.places.get(uid)?;
            let found = cx.get(resource, namespace, name).filter(|o| uid_of(o) == uid)?;
            Some((resource.clone(), found))
        })
        .collect()
    }
}

fn disown(cx: &Cx, resource: &Resource, dependent: &Value, owner: &str) -> Result<(), Status> {
    let edited =
        cx.edit(resource, namespace_of(dependent), name_of(dependent), Subresource::None, |object| {
            if let Some(list) = object["metadata"]["ownerReferences"].as_array_mut() {
                list.retain(|reference| reference["uid"] != owner);
            }
        });
    edited.map(|_| ())
}

fn without(cx: &Cx, resource: &Resource, object: &Value, finalizer: &str) -> Result<(), Status> {
    let edited = cx.edit(resource, namespace_of(object), name_of(object), Subresource::None, |object| {
        let left: Vec<String> = finalizers(object).into_iter().filter(|f| f != finalizer).collect();
        object["metadata"]["finalizers"] = json!(left);
    });
    edited.map(|_| ())
}
