//! What the API server knows about one kind.

use super::crd::CrdVersion;
use crate::schema::resource::Resource;
use crate::schema::structural::Schema;
use serde_json::Value;
use std::sync::Arc;

/// What can be done with a resource, named as RBAC and discovery do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Make a new object.
    Create,
    /// Delete one object.
    Delete,
    /// Delete all objects of a collection.
    DeleteCollection,
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Change one object by a patch.
    Patch,
    /// Replace one object.
    Update,
    /// Follow the changes of a collection.
    Watch,
}

impl Verb {
    /// The name in discovery documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }
}

/// The verbs of an ordinary resource.
pub const ALL_VERBS: &[Verb] = &[
    Verb::Create,
    Verb::Delete,
    Verb::DeleteCollection,
    Verb::Get,
    Verb::List,
    Verb::Patch,
    Verb::Update,
    Verb::Watch,
];
/// The verbs of a resource that is only asked, such as a review.
pub const CREATE_ONLY: &[Verb] = &[Verb::Create];
/// The verbs of `status`, `scale` and the like.
pub const READ_AND_WRITE: &[Verb] = &[Verb::Get, Verb::Patch, Verb::Update];

/// One subresource of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubresourceInfo {
    /// Its name in the URL, such as `status` or `eviction`.
    pub name: &'static str,
    /// Group, version and kind of what is read and written there; the parent's own if none.
    pub kind: Option<(&'static str, &'static str, &'static str)>,
    /// What can be done with it.
    pub verbs: &'static [Verb],
}

/// One resource at one version.
#[derive(Clone, Debug)]
pub struct ResourceInfo {
    /// Where it lives and what its objects call themselves.
    pub resource: Resource,
    /// The version its objects are stored at.
    pub storage_version: String,
    /// The singular name kubectl accepts.
    pub singular: String,
    /// The kind of a collection.
    pub list_kind: String,
    /// Short names kubectl accepts.
    pub short_names: Vec<String>,
    /// Groups of resources it belongs to, such as `all`.
    pub categories: Vec<String>,
    /// What can be done with it.
    pub verbs: &'static [Verb],
    /// Its subresources.
    pub subresources: Vec<SubresourceInfo>,
    /// The compiled schema of its objects.
    pub schema: Arc<Schema>,
    /// The version of the CustomResourceDefinition it comes from, if it does.
    pub crd: Option<Arc<CrdVersion>>,
}

impl ResourceInfo {
    /// The resource at the version its objects are stored at: the key of the store.
    pub fn storage(&self) -> Resource {
        self.resource.at_version(&self.storage_version)
    }

    /// A subresource by name.
    pub fn subresource(&self, name: &str) -> Option<&SubresourceInfo> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    /// Whether it has a status that is written on its own.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// Whether it comes from a CustomResourceDefinition.
    pub fn is_custom(&self) -> bool {
        self.crd.is_some()
    }

    /// Whether a strategic merge patch can be used on it.
    pub fn is_strategic(&self) -> bool {
        self.crd.is_none()
    }

    /// The object as this version shows it: only `apiVersion` differs between versions, as
    /// nothing here converts.
    pub fn present(&self, object: &mut Value) {
        if let Some(map) = object.as_object_mut() {
            map.insert("apiVersion".to_owned(), Value::String(self.resource.api_version()));
            map.insert("kind".to_owned(), Value::String(self.resource.kind.clone().into_owned()));
        }
    }

    /// The value a field selector compares, if the kind allows selecting by that field.
    pub fn selectable_field(&self, object: &Value, field: &str) -> Option<String> {
        super::selectable::value(self, object, field)
    }
}
