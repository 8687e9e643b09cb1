//! CustomResourceDefinitions: becoming established, and going with all their objects.

use super::kinds::Kind;
use super::object::{Entry, finalizers, items, metadata, name_of, namespace_of, text};
use super::options::{Act, DeleteOptions};
use super::state::State;
use super::status::Status;
use crate::schema::registry::crd::{self, CLEANUP_FINALIZER};
use crate::schema::{Resource, builtin};
use serde_json::{Value, json};

/// Refuses a definition that can't be served.
pub(crate) fn validate(kind: &Kind, crd: &Value) -> Result<(), Status> {
    let Err(error) = crd::read(crd) else { return Ok(()) };
    Err(Status::invalid(&kind.resource, name_of(crd), &[("", "FieldValueInvalid", error.to_string())]))
}

/// Marks a definition as going: its objects go first.
pub(crate) fn mark_deleted(act: &Act, crd: &mut Value) {
    let mut list = finalizers(crd);
    if !list.iter().any(|finalizer| finalizer == CLEANUP_FINALIZER) {
        list.push(CLEANUP_FINALIZER.to_owned());
    }
    metadata(crd).insert("finalizers".into(), json!(list));
    crd::mark_terminating(crd, &act.stamp());
}

/// Refuses new objects of a definition that is going.
pub(crate) fn validate_instance(state: &State, kind: &Kind, object: &Value) -> Result<(), Status> {
    let crd = state.store.get(&builtin::CUSTOM_RESOURCE_DEFINITIONS, "", &kind.resource.qualified());
    if crd.is_some_and(|crd| super::object::is_terminating(&crd.object)) {
        let mut status = Status::method_not_allowed();
        status.message = format!(
            "create is not supported on resources of kind \"{}\": create not allowed while custom resource \
             definition is terminating ({})",
            kind.resource,
            name_of(object)
        );
        return Err(status);
    }
    Ok(())
}

impl State {
    /// A definition was written: it is served from now on, and says so.
    pub(crate) fn crd_written(&mut self, act: &Act, entry: &Entry) {
        let crd = &entry.object;
        self.register_crd(crd);
        if super::object::is_terminating(crd) {
            self.sweep_crd(act, crd);
            return;
        }
        let mut established = (**crd).clone();
        crd::establish(&mut established, &act.stamp());
        if established != **crd {
            let server = Act { client: "kube-apiserver".into(), ..act.clone() };
            let (name, managers) = (name_of(crd).to_owned(), entry.managers.clone());
            let definitions = &builtin::CUSTOM_RESOURCE_DEFINITIONS;
            self.store.put(definitions, "", &name, established, managers, &server.client);
        }
    }

    /// Deletes every object of a definition that is going; when none is left, the definition.
    fn sweep_crd(&mut self, act: &Act, crd: &Value) {
        let resource = instances(crd);
        let server = Act { client: "kube-apiserver".into(), ..act.clone() };
        if let Some(kind) = self.kinds.of(&resource) {
            for entry in self.store.list(&resource, None) {
                let (namespace, name) =
                    (namespace_of(&entry.object).to_owned(), name_of(&entry.object).to_owned());
                // As in the real server nobody is asked: neither a webhook nor a policy can keep the object.
                let gone = self.delete_unasked(&server, &kind, &namespace, &name, &DeleteOptions::default());
                if let Err(status) = gone {
                    tracing::error!(%status, name, "an object of a definition that goes can't be deleted");
                }
            }
        }
        self.finish_crd(&server, name_of(crd));
    }

    /// Takes the cleanup finalizer from a definition without objects.
    pub(crate) fn finish_crd(&mut self, act: &Act, name: &str) {
        let definitions = &builtin::CUSTOM_RESOURCE_DEFINITIONS;
        let Some(entry) = self.store.get(definitions, "", name) else { return };
        if !super::object::is_terminating(&entry.object) {
            return;
        }
        let empty = self.store.table(&instances(&entry.object)).is_none_or(super::store::Table::is_empty);
        let left: Vec<String> =
            finalizers(&entry.object).into_iter().filter(|f| f != CLEANUP_FINALIZER).collect();
        if !empty || left.len() == finalizers(&entry.object).len() {
            return;
        }
        let mut object = (*entry.object).clone();
        if left.is_empty() {
            metadata(&mut object).remove("finalizers");
            self.store.put(definitions, "", name, object, entry.managers.clone(), &act.client);
            self.erase(act, definitions, "", name);
        } else {
            metadata(&mut object).insert("finalizers".into(), json!(left));
            self.store.put(definitions, "", name, object, entry.managers.clone(), &act.client);
        }
    }

    fn register_crd(&mut self, crd: &Value) {
        if let Err(error) = self.kinds.registry.add_crd(crd) {
            tracing::error!(name = name_of(crd), %error, "a definition that was validated can't be served");
        }
    }

    /// What follows from a write, whoever made it.
    pub(crate) fn after_write(&mut self, act: &Act, resource: &Resource, entry: &Entry) {
        if *resource == builtin::CUSTOM_RESOURCE_DEFINITIONS {
            self.crd_written(act, entry);
        }
        if self.concerns_backends(&resource.plural) {
            self.refresh_api_services(act);
        }
    }

    /// What follows from a removal, whoever made it.
    pub(crate) fn after_removal(&mut self, act: &Act, resource: &Resource, last: &Entry) {
        if *resource == builtin::CUSTOM_RESOURCE_DEFINITIONS {
            let name = name_of(&last.object).to_owned();
            self.kinds.registry.remove_crd(&name);
            self.end_watches_of(&instances(&last.object));
        } else if self.kinds.of(resource).is_some_and(|kind| kind.custom) {
            self.finish_crd(act, &resource.qualified());
        }
        if self.concerns_backends(&resource.plural) {
            self.refresh_api_services(act);
        }
    }

    fn end_watches_of(&mut self, resource: &Resource) {
        self.store.table_mut(resource).watchers.end_all();
    }
}

/// The resource of a definition's objects, at the version they are stored in.
fn instances(crd: &Value) -> Resource {
    let versions = items(crd, "/spec/versions");
    let version = versions.iter().find(|v| v["storage"] == true).or(versions.first());
    Resource::new(
        text(crd, "/spec/group"),
        version.map_or("", |v| text(v, "/name")),
        text(crd, "/spec/names/plural"),
        text(crd, "/spec/names/kind"),
        text(crd, "/spec/scope") == "Namespaced",
    )
}
