//! The server without HTTP: synchronous, through the same rules.

use super::core::Server;
use super::event::Changes;
use super::object::{Object, name_of, namespace_of};
use super::options::{Act, DeleteOptions, Subresource};
use super::state::State;
use super::status::Status;
use crate::schema::{FieldValidation, PatchKind};
use crate::schema::{Resource, builtin};
use serde_json::Value;
use std::sync::Arc;

/// An in-process, synchronous client: same validation, admission and rules as over HTTP; no
/// authentication, faults or request log.
#[derive(Clone)]
pub struct Direct {
    server: Server,
    client: Arc<str>,
}

impl Direct {
    pub(crate) fn new(server: Server, client: &str) -> Self {
        Self { server, client: client.into() }
    }

    fn act(&self) -> Act {
        Act {
            client: self.client.clone(),
            user: self.client.to_string(),
            groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
            now: self.server.clock().now(),
            dry_run: false,
            manager: self.client.to_string(),
            force: false,
            validation: FieldValidation::Ignore,
            track: false,
        }
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.server.state())
    }

    /// The object, if it is there; `namespace` is empty for cluster-scoped kinds.
    pub fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Object> {
        self.read(|state| Some(state.store.get(resource, namespace, name)?.object.clone()))
    }

    /// Those of these objects of one namespace that are there, in the order of the names.
    pub(crate) fn get_each<'n>(
        &self,
        resource: &Resource,
        namespace: &str,
        names: impl Iterator<Item = &'n str>,
    ) -> Vec<Object> {
        self.read(|state| {
            let there = state.store.table(resource).and_then(|table| table.in_namespace(namespace));
            let Some(there) = there else { return Vec::new() };
            names.filter_map(|name| Some(there.get(name)?.object.clone())).collect()
        })
    }

    /// All objects, or those of one namespace, in key order.
    pub fn list(&self, resource: &Resource, namespace: Option<&str>) -> Vec<Object> {
        self.read(|state| {
            state.store.list(resource, namespace).iter().map(|entry| entry.object.clone()).collect()
        })
    }

    /// The pods bound to a node, in key order.
    pub fn pods_on_node(&self, node: &str) -> Vec<Object> {
        self.read(|state| {
            let pods = state.store.table(&builtin::PODS).map(|table| table.on_node(node)).unwrap_or_default();
            pods.iter().map(|entry| entry.object.clone()).collect()
        })
    }

    /// Every object of every kind.
    pub fn everything(&self) -> Vec<(Resource, Object)> {
        self.read(|state| {
            let all = state.store.everything();
            all.iter().map(|(resource, entry)| ((**resource).clone(), entry.object.clone())).collect()
        })
    }

    /// The objects of a kind whose owner references name this UID, in key order.
    pub fn owned_by(&self, owner_uid: &str, resource: &Resource) -> Vec<Object> {
        self.read(|state| {
            let owned = state.store.owned_by(owner_uid, resource);
            owned.iter().map(|entry| entry.object.clone()).collect()
        })
    }

    /// Everything in a namespace, whatever its kind.
    pub fn in_namespace(&self, namespace: &str) -> Vec<(Resource, Object)> {
        self.read(|state| {
            let found = state.store.in_namespace(namespace);
            found.iter().map(|(resource, entry)| ((**resource).clone(), entry.object.clone())).collect()
        })
    }

    /// How many replicas an object wants, if its kind can be scaled.
    pub(crate) fn wanted_replicas(&self, resource: &Resource, namespace: &str, name: &str) -> Option<i64> {
        self.read(|state| {
            let kind = state.kind(resource).ok().filter(|kind| kind.scale)?;
            super::scale::wanted(&kind, &state.store.get(resource, namespace, name)?.object)
        })
    }

    /// The resource a kind is served under, such as `("crd.projectcalico.org/v1", "IPPool")`.
    pub fn resource(&self, api_version: &str, kind: &str) -> Option<Resource> {
        self.read(|state| state.kinds.by_kind(api_version, kind))
    }

    /// Creates an object in the namespace it names.
    pub fn create(&self, resource: &Resource, object: Value) -> Result<Object, Status> {
        let act = self.act();
        let mut state = self.server.state();
        let kind = state.kind(resource)?;
        let namespace = namespace_of(&object).to_owned();
        Ok(state.create(&act, &kind, &namespace, object)?.entry.object.clone())
    }

    /// Replaces an object; optimistic when it carries a resourceVersion.
    pub fn update(&self, resource: &Resource, object: Value) -> Result<Object, Status> {
        self.put(resource, Subresource::None, object)
    }

    /// Replaces the status of an object; optimistic when it carries a resourceVersion.
    pub fn update_status(&self, resource: &Resource, object: Value) -> Result<Object, Status> {
        self.put(resource, Subresource::Status, object)
    }

    /// Replaces an object by way of any subresource, such as a namespace by `finalize`.
    pub fn put(
        &self,
        resource: &Resource,
        subresource: Subresource,
        object: Value,
    ) -> Result<Object, Status> {
        let act = self.act();
        let mut state = self.server.state();
        let kind = state.kind(resource)?;
        let (namespace, name) = (namespace_of(&object).to_owned(), name_of(&object).to_owned());
        Ok(state.update(&act, &kind, &namespace, &name, subresource, object)?.entry.object.clone())
    }

    /// Merges a patch into an object or one of its parts.
    pub fn merge_patch(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: Subresource,
        patch: Value,
    ) -> Result<Object, Status> {
        let act = self.act();
        let mut state = self.server.state();
        let kind = state.kind(resource)?;
        let body = patch.to_string();
        let written =
            state.patch(&act, &kind, namespace, name, subresource, PatchKind::Merge, body.as_bytes())?;
        Ok(written.entry.object.clone())
    }

    /// Deletes an object, or marks it for deletion.
    pub fn delete(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        options: DeleteOptions,
    ) -> Result<(), Status> {
        let act = Act { dry_run: options.dry_run, ..self.act() };
        let mut state = self.server.state();
        let kind = state.kind(resource)?;
        state.delete(&act, &kind, namespace, name, &options).map(|_| ())
    }

    /// Binds a pod to a node, as the scheduler does.
    pub fn bind(&self, namespace: &str, pod: &str, node: &str) -> Result<(), Status> {
        let act = self.act();
        self.server.state().bind(&act, namespace, pod, node)
    }

    /// Evicts a pod, if its budget allows.
    pub fn evict(&self, namespace: &str, pod: &str) -> Result<(), Status> {
        let act = self.act();
        self.server.state().evict(&act, namespace, pod, &Value::Null).map(|_| ())
    }

    /// A token of a service account that lasts for ever, as the ones in Secrets do.
    pub fn mint_token(&self, namespace: &str, account: &str) -> Result<String, Status> {
        self.server.mint_token(namespace, account)
    }

    /// The store's revision: while it stays, so does everything in it.
    pub fn revision(&self) -> u64 {
        self.read(|state| state.store.revision)
    }

    /// A cursor over all changes of the store from now on.
    pub fn changes(&self) -> Changes {
        Changes { feed: self.server.state().store.subscribe() }
    }
}
