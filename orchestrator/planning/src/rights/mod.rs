//! What the API server must allow: for an observation, and for a plan and its way back.
//!
//! - [`mod@observation`]: to look at a cluster, as `check` and `plan` do.
//! - [`needed`]: to carry a plan out and to undo it.
//! - [`mod@manifests`]: rights as roles and bindings.

mod manifests;
mod observation;
mod steps;

pub use manifests::{Subject, for_plan, manifests};
pub use observation::observation;

use crate::object::{Kind, ObjectRef, Scope};
use crate::plan::Plan;
use crate::plan::action::Action;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// A verb of the API server's authorisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// One object.
    Get,
    /// A collection.
    List,
    /// A collection, as it changes.
    Watch,
    /// A new object.
    Create,
    /// A whole object in place of another.
    Update,
    /// A part of an object; server-side apply too.
    Patch,
    /// An object's end.
    Delete,
}

impl Verb {
    /// The verb as roles have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// Where a right holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Everywhere: cluster-scoped objects, and those of every namespace.
    Cluster,
    /// In one namespace.
    Namespace(String),
}

/// For which objects a right holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Which {
    /// All of the resource.
    Any,
    /// The one of this name.
    Named(String),
}

/// One thing that the API server must allow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Right {
    /// Where.
    pub place: Place,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource as URLs have it, with its subresource: `nodes`, `nodes/status`; `*` for all of the group.
    pub resource: String,
    /// For which of them.
    pub which: Which,
    /// To do what.
    pub verb: Verb,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.as_str(), self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Which::Named(name) = &self.which {
            write!(f, " {name}")?;
        }
        match &self.place {
            Place::Cluster => Ok(()),
            Place::Namespace(namespace) => write!(f, " in {namespace}"),
        }
    }
}

/// What carrying out a plan needs, and undoing it as far as it can be undone.
pub fn needed(plan: &Plan) -> BTreeSet<Right> {
    let mut rights = Rights::default();
    rights.all(observation());
    bookkeeping(&mut rights);
    for step in &plan.steps {
        steps::add(&mut rights, step);
    }
    rights.outliving(&removed_namespaces(plan)).covered()
}

/// The namespaces that a plan removes.
fn removed_namespaces(plan: &Plan) -> BTreeSet<&str> {
    let stages = plan.steps.iter().filter_map(|step| match &step.action {
        Action::RemoveObjects(removal) => Some(&removal.stages),
        _ => None,
    });
    let objects = stages.flatten().flat_map(|s| s.objects.iter().map(|id| &id.object).chain(&s.references));
    objects.filter(|o| o.kind.kind == "Namespace").map(|o| o.name.as_str()).collect()
}

/// The lock and the mirror.
fn bookkeeping(rights: &mut Rights) {
    let system = "kube-system";
    let leases = Resource::in_namespace("coordination.k8s.io", "leases", system);
    rights.on(&leases, &Which::Named("replank".into()), &[Verb::Get, Verb::Update]);
    rights.on(&leases, &Which::Any, &[Verb::Create, Verb::List, Verb::Watch]);
    let maps = Resource::in_namespace("", "configmaps", system);
    rights.on(&maps, &Which::Named("replank-status".into()), &[Verb::Get, Verb::Patch]);
    rights.on(&maps, &Which::Any, &[Verb::Create, Verb::List, Verb::Watch]);
}

/// A resource in a place.
struct Resource {
    place: Place,
    group: String,
    name: String,
}

impl Resource {
    fn everywhere(group: &str, name: &str) -> Self {
        Self { place: Place::Cluster, group: group.to_owned(), name: name.to_owned() }
    }

    fn in_namespace(group: &str, name: &str, namespace: &str) -> Self {
        Self { place: Place::Namespace(namespace.to_owned()), ..Self::everywhere(group, name) }
    }

    fn of_kind(kind: &Kind) -> Self {
        Self::everywhere(&kind.group, &kind.plural)
    }

    fn of_object(object: &ObjectRef) -> Self {
        match object.kind.scope {
            Scope::Cluster => Self::of_kind(&object.kind),
            Scope::Namespaced => {
                Self::in_namespace(&object.kind.group, &object.kind.plural, &object.namespace)
            }
        }
    }
}

/// Rights as they are collected.
#[derive(Default)]
struct Rights(BTreeSet<Right>);

impl Rights {
    fn all(&mut self, rights: BTreeSet<Right>) {
        self.0.extend(rights);
    }

    fn on(&mut self, resource: &Resource, which: &Which, verbs: &[Verb]) {
        self.0.extend(verbs.iter().map(|verb| Right {
            place: resource.place.clone(),
            group: resource.group.clone(),
            resource: resource.name.clone(),
            which: which.clone(),
            verb: *verb,
        }));
    }

    /// Verbs on all objects of a resource in its place.
    fn any(&mut self, resource: &Resource, verbs: &[Verb]) {
        self.on(resource, &Which::Any, verbs);
    }

    /// Verbs on one object.
    fn object(&mut self, object: &ObjectRef, verbs: &[Verb]) {
        self.on(&Resource::of_object(object), &Which::Named(object.name.clone()), verbs);
    }

    /// With those everywhere that hold in a namespace that goes: a role in it would go with it, and until then
    /// be an object there that is not the old network's.
    fn outliving(self, gone: &BTreeSet<&str>) -> Self {
        let widened = self.0.into_iter().map(|right| match &right.place {
            Place::Namespace(namespace) if gone.contains(namespace.as_str()) => {
                Right { place: Place::Cluster, ..right }
            }
            _ => right,
        });
        Self(widened.collect())
    }

    /// Without those that another one covers.
    fn covered(self) -> BTreeSet<Right> {
        let all = self.0;
        let covered = |right: &Right| {
            let places = [right.place.clone(), Place::Cluster];
            let whiches = [right.which.clone(), Which::Any];
            let wider = |place: &Place, which: &Which| {
                let wide = Right { place: place.clone(), which: which.clone(), ..right.clone() };
                wide != *right && all.contains(&wide)
            };
            places.iter().any(|place| whiches.iter().any(|which| wider(place, which)))
        };
        all.iter().filter(|right| !covered(right)).cloned().collect()
    }
}

impl Right {
    /// Whether this right allows what that one is about.
    pub fn covers(&self, wanted: &Self) -> bool {
        self.verb == wanted.verb
            && self.group == wanted.group
            && (self.resource == wanted.resource || self.resource == "*")
            && (self.place == Place::Cluster || self.place == wanted.place)
            && (self.which == Which::Any || self.which == wanted.which)
    }
}
