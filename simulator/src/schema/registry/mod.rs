//! Which resources the API has: the built-in ones and those of CustomResourceDefinitions.
//!
//! - [`info`]: what is known about one of them.
//! - [`builtins`]: the built-in ones' names, verbs and subresources.
//! - [`crd`]: reading and establishing CustomResourceDefinitions.
//! - [`selectable`]: fields that field selectors may name.

pub mod builtins;
pub mod crd;
pub mod info;
pub mod selectable;

pub use crd::CrdError;
pub use info::{ResourceInfo, SubresourceInfo, Verb};

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

type ByPlural = BTreeMap<String, Arc<ResourceInfo>>;

/// Every resource the API has, by group, version and plural.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    groups: BTreeMap<String, BTreeMap<String, ByPlural>>,
    generation: u64,
}

impl Registry {
    /// The built-in resources.
    pub fn builtin() -> Self {
        let mut registry = Self::default();
        for info in builtins::all() {
            registry.insert(info);
        }
        registry
    }

    fn insert(&mut self, info: ResourceInfo) {
        let resource = &info.resource;
        self.groups
            .entry(resource.group.clone().into_owned())
            .or_default()
            .entry(resource.version.clone().into_owned())
            .or_default()
            .insert(resource.plural.clone().into_owned(), Arc::new(info));
    }

    /// Adds, or replaces, the resources of a CustomResourceDefinition.
    ///
    /// # Errors
    /// Says what the definition lacks; nothing has changed then.
    pub fn add_crd(&mut self, crd: &Value) -> Result<(), CrdError> {
        let infos = crd::read(crd)?;
        self.remove_crd(crd["metadata"]["name"].as_str().unwrap_or_default());
        for info in infos {
            self.insert(info);
        }
        self.generation += 1;
        Ok(())
    }

    /// Removes the resources of a CustomResourceDefinition.
    pub fn remove_crd(&mut self, name: &str) {
        for versions in self.groups.values_mut() {
            for by_plural in versions.values_mut() {
                by_plural.retain(|_, info| info.crd.as_ref().is_none_or(|crd| crd.crd != name));
            }
            versions.retain(|_, by_plural| !by_plural.is_empty());
        }
        self.groups.retain(|_, versions| !versions.is_empty());
        self.generation += 1;
    }

    /// Counts the changes, so that documents made from the registry can be cached.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// A resource by its place in URLs.
    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<ResourceInfo>> {
        self.groups.get(group)?.get(version)?.get(plural)
    }

    /// A resource by what its objects call themselves.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<ResourceInfo>> {
        self.groups.get(group)?.get(version)?.values().find(|info| info.resource.kind == kind)
    }

    /// Every resource, by group, version and plural.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ResourceInfo>> {
        self.groups.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values)
    }

    /// The resources of one group and version.
    pub fn resources(&self, group: &str, version: &str) -> impl Iterator<Item = &Arc<ResourceInfo>> {
        self.groups
            .get(group)
            .and_then(|versions| versions.get(version))
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// The groups, without the core group, sorted by name.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str).filter(|group| !group.is_empty())
    }

    /// The versions of a group, the preferred one first.
    pub fn versions(&self, group: &str) -> Vec<&str> {
        let mut versions: Vec<&str> =
            self.groups.get(group).into_iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        versions
    }
}

/// The order of versions: released ones first, then beta and alpha, newer before older.
fn priority(version: &str) -> (u8, u64, u64) {
    let rest = version.strip_prefix('v').unwrap_or(version);
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    for (rank, stage) in [(1, "beta"), (0, "alpha")] {
        if let Some((major, minor)) = rest.split_once(stage) {
            return (rank, number(major), number(minor));
        }
    }
    (2, number(rest), 0)
}
