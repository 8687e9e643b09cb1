//! The store: versions of objects by resource, namespace and name, with the indexes reads need.

use super::event::{Change, EventKind, Feed};
use super::history::History;
use super::object::{Entry, Stored, items, metadata, text};
use super::watchers::Watchers;
use crate::schema::{Managers, Resource};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

/// Namespace and name of an object; the namespace is empty for cluster-scoped ones.
pub(crate) type Key = (String, String);

/// All objects of one resource, whatever version they were written in.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) resource: Option<Arc<Resource>>,
    namespaces: BTreeMap<String, BTreeMap<String, Entry>>,
    by_node: BTreeMap<String, BTreeSet<Key>>,
    pub(crate) watchers: Watchers,
}

impl Table {
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&Entry> {
        self.namespaces.get(namespace)?.get(name)
    }

    /// The objects of one namespace by name.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Option<&BTreeMap<String, Entry>> {
        self.namespaces.get(namespace)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// The objects of one namespace, or of all, in key order.
    pub(crate) fn list(&self, namespace: Option<&str>) -> Vec<Entry> {
        match namespace {
            Some(namespace) => {
                self.namespaces.get(namespace).into_iter().flat_map(BTreeMap::values).cloned().collect()
            }
            None => self.namespaces.values().flat_map(BTreeMap::values).cloned().collect(),
        }
    }

    /// The pods bound to a node, in key order.
    pub(crate) fn on_node(&self, node: &str) -> Vec<Entry> {
        let keys = self.by_node.get(node).into_iter().flatten();
        keys.filter_map(|(namespace, name)| self.get(namespace, name)).cloned().collect()
    }

    /// Puts a version of an object in the place of the one before it.
    fn insert(&mut self, namespace: &str, name: &str, entry: Entry) -> Option<Entry> {
        let objects = there_or_new(&mut self.namespaces, namespace);
        if let Some(there) = objects.get_mut(name) {
            return Some(std::mem::replace(there, entry));
        }
        objects.insert(name.to_owned(), entry)
    }

    fn index(&mut self, namespace: &str, name: &str, old: Option<&Value>, new: Option<&Value>) {
        let before = old.map_or("", |pod| text(pod, "/spec/nodeName"));
        let after = new.map_or("", |pod| text(pod, "/spec/nodeName"));
        if before == after {
            return;
        }
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(keys) = self.by_node.get_mut(before) {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_node.remove(before);
            }
        }
        if !after.is_empty() {
            self.by_node.entry(after.to_owned()).or_default().insert(key);
        }
    }
}

/// The name of a kind's table; no copy is made of the core group's.
fn table_of(resource: &Resource) -> Cow<'_, str> {
    match resource.group.is_empty() {
        true => Cow::Borrowed(&resource.plural),
        false => Cow::Owned(resource.qualified()),
    }
}

/// What a map has for a name. Names are copied only for what is new: nearly every write is of something known.
fn there_or_new<'a, T: Default>(map: &'a mut BTreeMap<String, T>, name: &str) -> &'a mut T {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), T::default());
    }
    map.get_mut(name).expect("it was put there if it was missing")
}

/// The UIDs of the owners that an object names.
fn owners(object: &Value) -> impl Iterator<Item = &str> {
    items(object, "/metadata/ownerReferences").iter().map(|owner| text(owner, "/uid"))
}

/// The revision of a store in which nothing was written yet.
pub(crate) const FIRST_REVISION: u64 = 1;

/// All tables, the revision counter and who listens.
pub(crate) struct Store {
    tables: BTreeMap<String, Table>,
    /// By the UID of an owner and the table: what names it.
    owned: BTreeMap<String, BTreeMap<String, BTreeMap<Key, Entry>>>,
    pub(crate) revision: u64,
    pub(crate) history: History,
    feeds: Vec<Weak<Feed>>,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            tables: BTreeMap::new(),
            owned: BTreeMap::new(),
            revision: FIRST_REVISION,
            history: History::new(),
            feeds: Vec::new(),
        }
    }

    pub(crate) fn table(&self, resource: &Resource) -> Option<&Table> {
        self.tables.get(&*table_of(resource))
    }

    pub(crate) fn table_mut(&mut self, resource: &Resource) -> &mut Table {
        there_or_new(&mut self.tables, &table_of(resource))
    }

    pub(crate) fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Entry> {
        self.table(resource)?.get(namespace, name).cloned()
    }

    pub(crate) fn list(&self, resource: &Resource, namespace: Option<&str>) -> Vec<Entry> {
        self.table(resource).map(|table| table.list(namespace)).unwrap_or_default()
    }

    /// The objects of a kind with an owner reference to this UID, in key order.
    pub(crate) fn owned_by(&self, uid: &str, resource: &Resource) -> Vec<Entry> {
        let owned = self.owned.get(uid).and_then(|tables| tables.get(&*table_of(resource)));
        owned.into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Every object, by resource.
    pub(crate) fn everything(&self) -> Vec<(Arc<Resource>, Entry)> {
        let mut found = Vec::new();
        for table in self.tables.values() {
            if let Some(resource) = &table.resource {
                found.extend(table.list(None).into_iter().map(|entry| (resource.clone(), entry)));
            }
        }
        found
    }

    /// Every object of a namespace, by resource.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<(Arc<Resource>, Entry)> {
        let mut found = Vec::new();
        for table in self.tables.values() {
            if let (Some(resource), Some(objects)) = (&table.resource, table.namespaces.get(namespace)) {
                found.extend(objects.values().map(|entry| (resource.clone(), entry.clone())));
            }
        }
        found
    }

    pub(crate) fn subscribe(&mut self) -> Arc<Feed> {
        let feed = Arc::new(Feed::default());
        self.feeds.push(Arc::downgrade(&feed));
        feed
    }

    /// Writes a new version and tells everybody.
    pub(crate) fn put(
        &mut self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        mut value: Value,
        managers: Managers,
        client: &Arc<str>,
    ) -> Entry {
        self.revision += 1;
        metadata(&mut value).insert("resourceVersion".into(), json!(self.revision.to_string()));
        let entry = Stored::new(value, managers, self.revision);
        let table = self.table_mut(resource);
        let shared = table.resource.get_or_insert_with(|| Arc::new(resource.clone())).clone();
        let old = table.insert(namespace, name, entry.clone());
        if resource.plural == "pods" && resource.group.is_empty() {
            table.index(namespace, name, old.as_ref().map(|entry| &*entry.object), Some(&entry.object));
        }
        self.index_owners(&shared, namespace, name, old.as_ref(), Some(&entry));
        let kind = if old.is_some() { EventKind::Modified } else { EventKind::Added };
        self.publish(Change {
            resource: shared,
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            old,
            new: entry.clone(),
            revision: self.revision,
            client: client.clone(),
        });
        entry
    }

    /// Takes an object away and tells everybody; its last version carries the new revision.
    pub(crate) fn remove(
        &mut self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        client: &Arc<str>,
    ) -> Option<Entry> {
        let table = self.tables.get_mut(&*table_of(resource))?;
        let objects = table.namespaces.get_mut(namespace)?;
        let old = objects.remove(name)?;
        if objects.is_empty() {
            table.namespaces.remove(namespace);
        }
        if resource.plural == "pods" && resource.group.is_empty() {
            table.index(namespace, name, Some(&old.object), None);
        }
        let shared = table.resource.clone()?;
        self.index_owners(&shared, namespace, name, Some(&old), None);
        self.revision += 1;
        let mut last = (*old.object).clone();
        metadata(&mut last).insert("resourceVersion".into(), json!(self.revision.to_string()));
        let last = Stored::new(last, old.managers.clone(), self.revision);
        self.publish(Change {
            resource: shared,
            kind: EventKind::Deleted,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            old: Some(old),
            new: last.clone(),
            revision: self.revision,
            client: client.clone(),
        });
        Some(last)
    }

    fn index_owners(
        &mut self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        old: Option<&Entry>,
        new: Option<&Entry>,
    ) {
        let names = |entry: Option<&Entry>, uid: &str| {
            entry.is_some_and(|entry| owners(&entry.object).any(|owner| owner == uid))
        };
        let table = table_of(resource);
        let key = || (namespace.to_owned(), name.to_owned());
        for uid in old.iter().flat_map(|entry| owners(&entry.object)).filter(|uid| !names(new, uid)) {
            let Some(tables) = self.owned.get_mut(uid) else { continue };
            if let Some(there) = tables.get_mut(&*table) {
                there.remove(&key());
                if there.is_empty() {
                    tables.remove(&*table);
                }
            }
            if tables.is_empty() {
                self.owned.remove(uid);
            }
        }
        let Some(new) = new else { return };
        for uid in owners(&new.object) {
            let there = there_or_new(there_or_new(&mut self.owned, uid), &table);
            there.insert(key(), new.clone());
        }
    }

    fn publish(&mut self, change: Change) {
        let change = Arc::new(change);
        if let Some(table) = self.tables.get_mut(&*table_of(&change.resource)) {
            table.watchers.offer(&change);
        }
        self.feeds.retain(|feed| {
            let Some(feed) = feed.upgrade() else { return false };
            feed.push(change.clone());
            true
        });
        self.history.push(change);
    }

    /// Ends every watch, as a restarting server does.
    pub(crate) fn end_watches(&mut self) {
        for table in self.tables.values_mut() {
            table.watchers.end_all();
        }
    }
}
