//! Every object that could have to do with a network plugin, whole.

use crate::object::{Kind, Object, ObjectRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Objects by reference. It holds: all CustomResourceDefinitions (without their schemas), all
/// objects of the groups `crd.projectcalico.org`, `projectcalico.org`, `operator.tigera.io`,
/// `policy.networking.k8s.io`; all DaemonSets, Deployments, StatefulSets, Jobs, ServiceAccounts,
/// Services, PodDisruptionBudgets, Roles, ClusterRoles and their bindings, ConfigMaps (data only of those under 64 KiB),
/// Secrets (metadata only: no secret enters the state), Namespaces, APIServices, CSIDrivers,
/// admission webhook configurations and policies, NetworkPolicies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory {
    items: BTreeMap<String, Item>,
}

/// One object of the inventory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The object, whole (but for what [`Inventory`] leaves out).
    pub object: Object,
}

impl Inventory {
    /// Adds an object.
    pub fn insert(&mut self, object: Object) {
        let reference = &object.id.object;
        let key = key(&reference.kind.group, &reference.kind.kind, &reference.namespace, &reference.name);
        self.items.insert(key, Item { object });
    }

    /// All objects, in order of group, kind, namespace, name.
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.items.values().map(|i| &i.object)
    }

    /// The objects of one kind, whatever their version.
    pub fn of<'a>(&'a self, group: &'a str, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        let prefix = format!("{group}/{kind}/");
        self.items
            .range(prefix.clone()..)
            .take_while(move |(k, _)| k.starts_with(&prefix))
            .map(|(_, i)| &i.object)
    }

    /// One object.
    pub fn get(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<&Object> {
        self.items.get(&key(group, kind, namespace, name)).map(|i| &i.object)
    }

    /// One object by reference.
    pub fn find(&self, object: &ObjectRef) -> Option<&Object> {
        let Kind { group, kind, .. } = &object.kind;
        self.get(group, kind, &object.namespace, &object.name)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

fn key(group: &str, kind: &str, namespace: &str, name: &str) -> String {
    format!("{group}/{kind}/{namespace}/{name}")
}
