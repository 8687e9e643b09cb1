//! What the write path needs to know of each kind.

use super::object::Object;
use crate::clock::Clock;
use crate::schema::{Registry, Resource, ResourceInfo};
use serde_json::Value;
use std::sync::Arc;

/// One kind at one version, as served.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) resource: Resource,
    pub(crate) status: bool,
    pub(crate) scale: bool,
    /// Whether it comes from a CustomResourceDefinition.
    pub(crate) custom: bool,
    pub(crate) info: Arc<ResourceInfo>,
    clock: Clock,
}

impl Kind {
    fn of(info: &Arc<ResourceInfo>, clock: Clock) -> Self {
        Self {
            resource: info.resource.clone(),
            status: info.has_status(),
            scale: info.subresource("scale").is_some(),
            custom: info.is_custom(),
            info: info.clone(),
            clock,
        }
    }

    /// Whether objects can be selected by a field.
    pub(crate) fn is_selectable(&self, field: &str) -> bool {
        self.info.selectable_field(&Value::Null, field).is_some()
    }

    /// The objects as a table.
    pub(crate) fn table(&self, objects: &[Object]) -> Value {
        crate::schema::tables::table(&self.info, objects, self.clock.now())
    }
}

/// All kinds served: built in, and made by CustomResourceDefinitions.
pub(crate) struct Kinds {
    pub(crate) registry: Registry,
    clock: Clock,
}

impl Kinds {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { registry: Registry::builtin(), clock }
    }

    pub(crate) fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<Kind> {
        self.registry.by_path(group, version, plural).map(|info| Kind::of(info, self.clock))
    }

    /// The resource a kind is served under.
    pub(crate) fn by_kind(&self, api_version: &str, kind: &str) -> Option<Resource> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.registry.by_kind(group, version, kind).map(|info| info.resource.clone())
    }

    pub(crate) fn of(&self, resource: &Resource) -> Option<Kind> {
        self.by_path(&resource.group, &resource.version, &resource.plural)
    }
}
