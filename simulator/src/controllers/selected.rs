//! Which pods the selectors of Services, budgets and the like select, kept up to date by events:
//! nobody has to look through all pods of a namespace when one of them changes.

use super::objects::{Key, key_of, labels_of};
use crate::schema::builtin::PODS;
use crate::server::{Event, LabelSelector, Object};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::context::Cx;

/// Owners of selectors and the pods they select, by namespace.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    namespaces: BTreeMap<String, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    owners: BTreeMap<String, (LabelSelector, BTreeSet<String>)>,
    pods: BTreeMap<String, (Value, BTreeSet<String>)>,
}

impl Selected {
    /// Takes in the owner's present selector; without one it is forgotten.
    pub(crate) fn set_owner(&mut self, key: &Key, selector: Option<LabelSelector>) {
        let space = self.namespaces.entry(key.0.clone()).or_default();
        if space.owners.get(&key.1).map(|(known, _)| known) == selector.as_ref() {
            return;
        }
        if let Some((_, members)) = space.owners.remove(&key.1) {
            for pod in members {
                if let Some((_, owners)) = space.pods.get_mut(&pod) {
                    owners.remove(&key.1);
                }
            }
        }
        let Some(selector) = selector else { return };
        let mut members = BTreeSet::new();
        for (name, (labels, owners)) in &mut space.pods {
            if selector.matches(labels) {
                owners.insert(key.1.clone());
                members.insert(name.clone());
            }
        }
        space.owners.insert(key.1.clone(), (selector, members));
    }

    /// Takes in an event about a pod; the owners that select it, or did so before.
    pub(crate) fn notice_pod(&mut self, event: &Event) -> Vec<Key> {
        let (namespace, name) = key_of(event.object());
        let space = self.namespaces.entry(namespace.clone()).or_default();
        let labels = event.new.as_ref().map(|pod| labels_of(pod));
        if let Some((before, owners)) = space.pods.get(&name)
            && labels == Some(before)
        {
            return owners.iter().map(|owner| (namespace.clone(), owner.clone())).collect();
        }
        let (_, owners) = space.pods.remove(&name).unwrap_or_default();
        let mut touched = owners.clone();
        for owner in owners {
            if let Some((_, members)) = space.owners.get_mut(&owner) {
                members.remove(&name);
            }
        }
        if let Some(labels) = labels {
            let mut owners = BTreeSet::new();
            for (owner, (selector, members)) in &mut space.owners {
                if selector.matches(labels) {
                    members.insert(name.clone());
                    owners.insert(owner.clone());
                }
            }
            touched.extend(owners.iter().cloned());
            space.pods.insert(name, (labels.clone(), owners));
        }
        touched.into_iter().map(|owner| (namespace.clone(), owner)).collect()
    }

    /// The pods that an owner selects, in the order of their names.
    pub(crate) fn pods(&self, cx: &Cx, key: &Key) -> Vec<Object> {
        let members = self.namespaces.get(&key.0).and_then(|space| space.owners.get(&key.1));
        let names = members.into_iter().flat_map(|(_, members)| members);
        cx.direct.get_each(&PODS, &key.0, names.map(String::as_str))
    }

    /// The owners of one namespace.
    pub(crate) fn owners(&self, namespace: &str) -> Vec<Key> {
        let space = self.namespaces.get(namespace);
        let names = space.into_iter().flat_map(|space| space.owners.keys());
        names.map(|name| (namespace.to_owned(), name.clone())).collect()
    }
}
