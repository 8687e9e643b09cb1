//! Everything behind the server's one lock.

use super::admission::Policies;
use super::kinds::{Kind, Kinds};
use super::names::Names;
use super::object::{Entry, Stored};
use super::options::{Act, Subresource};
use super::pages::Pages;
use super::service_ips::ServiceRange;
use super::status::Status;
use super::store::Store;
use crate::clock::Clock;
use crate::schema::{self, Managers, Resource};
use serde_json::Value;
use std::time::Duration;

/// Whether etcd, behind the server, can commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EtcdHealth {
    /// A majority of members answers.
    #[default]
    Quorum,
    /// No majority: nothing can be written or read anew.
    Lost,
}

/// Everything behind the server's one lock; never held across an await.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) kinds: Kinds,
    pub(crate) names: Names,
    pub(crate) services: ServiceRange,
    pub(crate) policies: Policies,
    pub(crate) pages: Pages,
    pub(crate) etcd: EtcdHealth,
    pub(crate) etcd_timeout: Duration,
}

/// How long a request waits for an etcd that can't commit.
const ETCD_TIMEOUT: Duration = Duration::from_secs(7);

/// A write's result: the version that stands, and what the client should be told beside it.
pub(crate) struct Written {
    pub(crate) entry: Entry,
    pub(crate) created: bool,
    pub(crate) warnings: Vec<String>,
}

impl State {
    pub(crate) fn new(seed: u64, clock: Clock) -> Self {
        Self {
            store: Store::new(),
            kinds: Kinds::new(clock),
            names: Names::new(seed, "server"),
            services: ServiceRange::default(),
            policies: Policies::default(),
            pages: Pages::default(),
            etcd: EtcdHealth::Quorum,
            etcd_timeout: ETCD_TIMEOUT,
        }
    }

    /// The kind, or the 404 a client gets for one that isn't served.
    pub(crate) fn kind(&self, resource: &Resource) -> Result<Kind, Status> {
        self.kinds.of(resource).ok_or_else(Status::no_such_path)
    }

    /// The object, or the 404.
    pub(crate) fn current(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Entry, Status> {
        self.store.get(resource, namespace, name).ok_or_else(|| Status::not_found(resource, name))
    }

    /// Refuses everything while etcd can't commit.
    pub(crate) fn committable(&self) -> Result<(), Status> {
        match self.etcd {
            EtcdHealth::Quorum => Ok(()),
            EtcdHealth::Lost => Err(Status::new(500, "", "etcdserver: request timed out")),
        }
    }

    /// Writes a version, or only shows it when nothing should be written.
    pub(crate) fn commit(
        &mut self,
        act: &Act,
        resource: &Resource,
        namespace: &str,
        name: &str,
        value: Value,
        managers: Managers,
    ) -> Entry {
        if act.dry_run {
            return Stored::new(value, managers, self.store.revision);
        }
        let entry = self.store.put(resource, namespace, name, value, managers, &act.client);
        self.after_write(act, resource, &entry);
        entry
    }

    /// Takes an object away, or only pretends.
    pub(crate) fn erase(
        &mut self,
        act: &Act,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Entry> {
        if act.dry_run {
            return self.store.get(resource, namespace, name);
        }
        let last = self.store.remove(resource, namespace, name, &act.client)?;
        self.after_removal(act, resource, &last);
        Some(last)
    }
}

impl State {
    /// Prunes, defaults and validates an object by its schema; answers warnings.
    pub(crate) fn prepare(
        &self,
        act: &Act,
        kind: &Kind,
        object: &mut Value,
        old: Option<&Value>,
        subresource: Subresource,
    ) -> Result<Vec<String>, Status> {
        let warnings = match subresource {
            Subresource::Status => schema::prepare_status(&kind.info, object, old, act.validation)?,
            _ => schema::prepare(&kind.info, object, old, act.validation)?,
        };
        Ok(warnings.into_iter().map(|warning| warning.0).collect())
    }
}

/// The object as it is stored: at its kind's storage version.
pub(crate) fn at_rest(kind: &Kind, object: &mut Value) -> Resource {
    let storage = kind.info.storage();
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), Value::String(storage.api_version()));
    }
    storage
}
