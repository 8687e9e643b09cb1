//! Objects without a manager, which another may adopt.

use crate::controllers::context::{Cx, gone_is_fine};
use crate::controllers::objects::{
    Key, controller_of, controller_reference, is_terminating, key_of, name_of, namespace_of,
};
use crate::schema::Resource;
use crate::server::{Event, LabelSelector, Status, Subresource};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The objects of one kind that nobody manages.
#[derive(Debug)]
pub(super) struct Orphans {
    resource: Resource,
    keys: BTreeSet<Key>,
}

impl Orphans {
    pub(super) fn new(resource: Resource) -> Self {
        Self { resource, keys: BTreeSet::new() }
    }

    /// Notes an event about this kind; whether its object is an orphan now.
    pub(super) fn notice(&mut self, event: &Event) -> bool {
        let key = key_of(event.object());
        match &event.new {
            Some(new) if controller_of(new).is_none() && !is_terminating(new) => {
                self.keys.insert(key);
                true
            }
            _ => {
                self.keys.remove(&key);
                false
            }
        }
    }

    /// Gives the orphans that match to this owner.
    pub(super) fn adopt(&mut self, cx: &Cx, resource: &Resource, owner: &Value) -> Result<(), Status> {
        if self.keys.is_empty() || is_terminating(owner) {
            return Ok(());
        }
        let selector = LabelSelector::from_object(&owner["spec"]["selector"]);
        let namespace = namespace_of(owner);
        let found: Vec<Key> = self.keys.iter().filter(|key| key.0 == namespace).cloned().collect();
        for key in found {
            let Some(object) = cx.get(&self.resource, &key.0, &key.1) else {
                self.keys.remove(&key);
                continue;
            };
            let ended = super::pods::is_finished(&object);
            if !selector.matches(&object["metadata"]["labels"]) || controller_of(&object).is_some() || ended {
                continue;
            }
            let mut owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            owners.push(controller_reference(resource, owner));
            let patch = json!({"metadata": {"uid": object["metadata"]["uid"], "ownerReferences": owners}});
            let name = name_of(&object);
            let done = cx.direct.merge_patch(&self.resource, namespace, name, Subresource::None, patch);
            gone_is_fine(done.map(|_| ()))?;
            self.keys.remove(&key);
        }
        Ok(())
    }

    /// The owners in this namespace that would adopt the object.
    pub(super) fn would_adopt(cx: &Cx, resource: &Resource, object: &Value) -> Vec<Key> {
        let labels = &object["metadata"]["labels"];
        let owners = cx.direct.list(resource, Some(namespace_of(object)));
        owners
            .iter()
            .filter(|owner| LabelSelector::from_object(&owner["spec"]["selector"]).matches(labels))
            .map(|owner| key_of(owner))
            .collect()
    }
}
