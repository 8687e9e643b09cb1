//! Get and list.

use super::kinds::Kind;
use super::object::{Entry, Stored};
use super::pages::{Rest, token};
use super::path::Query;
use super::selectors::{FieldSelector, LabelSelector};
use super::state::State;
use super::status::Status;
use serde_json::{Value, json};
use std::sync::Arc;

/// Which objects a list, watch or deletecollection is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) namespace: Option<String>,
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selection {
    pub(crate) fn parse(kind: &Kind, namespace: Option<&str>, query: &Query) -> Result<Self, Status> {
        let allowed = |path: &str| kind.is_selectable(path);
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            labels: LabelSelector::parse(query.get("labelSelector"))?,
            fields: FieldSelector::parse(query.get("fieldSelector"), allowed)?,
        })
    }

    /// Whether it takes the whole collection.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(&object["metadata"]["labels"]) && self.fields.matches(object)
    }
}

/// A part of a list, and how it goes on.
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    pub(crate) revision: u64,
    pub(crate) continues: Option<String>,
    pub(crate) remaining: Option<usize>,
}

impl Page {
    pub(crate) fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if let Some(token) = &self.continues {
            metadata["continue"] = json!(token);
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        metadata
    }
}

impl State {
    /// The objects a selection takes, now.
    pub(crate) fn select(&self, kind: &Kind, selection: &Selection) -> Vec<Entry> {
        let Some(table) = self.store.table(&kind.resource) else { return Vec::new() };
        let node = selection.fields.exact("spec.nodeName").filter(|node| !node.is_empty());
        let one = selection.fields.exact("metadata.name");
        let candidates = if let (Some(namespace), Some(name)) = (selection.namespace.as_deref(), one) {
            table.get(namespace, name).cloned().into_iter().collect()
        } else if let (false, Some(name)) = (kind.resource.namespaced, one) {
            table.get("", name).cloned().into_iter().collect()
        } else if let (true, Some(node)) = (kind.resource.plural == "pods", node) {
            let pods = table.on_node(node);
            pods.into_iter()
                .filter(|pod| {
                    selection
                        .namespace
                        .as_deref()
                        .is_none_or(|namespace| super::object::namespace_of(&pod.object) == namespace)
                })
                .collect()
        } else {
            table.list(selection.namespace.as_deref())
        };
        if selection.is_everything() {
            return candidates;
        }
        candidates.into_iter().filter(|entry| selection.matches(&entry.object)).collect()
    }

    /// One page of a list.
    pub(crate) fn list(&mut self, kind: &Kind, selection: &Selection, query: &Query) -> Result<Page, Status> {
        let limit = query.number("limit").filter(|limit| *limit > 0).map(|limit| limit as usize);
        let version = query.get("resourceVersion");
        if !(version == "0" && query.get("resourceVersionMatch") != "Exact") {
            self.committable()?;
        }
        let cont = query.get("continue");
        if !cont.is_empty() {
            if !version.is_empty() && version != "0" {
                return Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            let (id, offset, rest) = self.pages.resume(cont)?;
            let end = limit
                .map_or(rest.entries.len(), |limit| offset.saturating_add(limit).min(rest.entries.len()));
            let entries = rest.entries.get(offset..end).unwrap_or_default().to_vec();
            let continues = (end < rest.entries.len()).then(|| token(id, end));
            if continues.is_none() {
                self.pages.done(id);
            }
            let remaining =
                (continues.is_some() && selection.is_everything()).then(|| rest.entries.len() - end);
            return Ok(Page { entries, revision: rest.revision, continues, remaining });
        }
        check_version(version, self.store.revision)?;
        let revision = self.store.revision;
        if query.get("resourceVersionMatch") == "Exact"
            && let Some(wanted) = query.number("resourceVersion")
            && wanted != revision
        {
            let oldest = self.store.history.compacted;
            if wanted < oldest {
                return Err(Status::expired(wanted, oldest));
            }
            let entries = self.rewind(kind, selection, wanted);
            return Ok(Page { entries, revision: wanted, continues: None, remaining: None });
        }
        let all = self.select(kind, selection);
        let Some(limit) = limit.filter(|limit| *limit < all.len()) else {
            return Ok(Page { entries: all, revision, continues: None, remaining: None });
        };
        let entries = all[..limit].to_vec();
        let remaining = selection.is_everything().then(|| all.len() - limit);
        let continues = self.pages.keep(Rest { revision, entries: Arc::new(all) }, limit);
        Ok(Page { entries, revision, continues: Some(continues), remaining })
    }

    /// The objects a selection took at an earlier revision.
    fn rewind(&self, kind: &Kind, selection: &Selection, revision: u64) -> Vec<Entry> {
        use super::event::EventKind;
        use super::object::{name_of, namespace_of};
        let mut then: std::collections::BTreeMap<(String, String), Entry> = self
            .store
            .list(&kind.resource, selection.namespace.as_deref())
            .into_iter()
            .map(|entry| ((namespace_of(&entry.object).to_owned(), name_of(&entry.object).to_owned()), entry))
            .collect();
        for change in self.store.history.since(revision).rev() {
            let same = change.resource.group == kind.resource.group
                && change.resource.plural == kind.resource.plural
                && selection.namespace.as_deref().is_none_or(|namespace| namespace == change.namespace);
            if !same {
                continue;
            }
            let key = (change.namespace.clone(), change.name.clone());
            match (change.kind, &change.old) {
                (EventKind::Added, _) | (_, None) => then.remove(&key),
                (_, Some(old)) => then.insert(key, old.clone()),
            };
        }
        then.into_values().filter(|entry| selection.matches(&entry.object)).collect()
    }
}

/// Refuses versions that aren't numbers or lie in the future.
pub(crate) fn check_version(version: &str, current: u64) -> Result<(), Status> {
    if version.is_empty() {
        return Ok(());
    }
    let Ok(wanted) = version.parse::<u64>() else {
        return Err(Status::bad_request(format!("invalid resource version: {version}")));
    };
    if wanted > current {
        let message = format!("Too large resource version: {wanted}, current: {current}");
        return Err(Status::new(504, "Timeout", message)
            .cause("ResourceVersionTooLarge", None, "Too large resource version")
            .retry_after(1));
    }
    Ok(())
}

/// The version of an object a client asked for: same content, another `apiVersion`.
pub(crate) fn at_version(kind: &Kind, entry: &Entry) -> Entry {
    let wanted = kind.resource.api_version();
    if entry.object["apiVersion"] == wanted.as_str() {
        return entry.clone();
    }
    let mut object = (*entry.object).clone();
    object["apiVersion"] = json!(wanted);
    Stored::new(object, entry.managers.clone(), entry.revision)
}
