//! Rights as roles and bindings that `kubectl apply` takes.

use super::{Place, Right, Which, needed};
use crate::plan::{Action, Plan};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What the roles are called.
const NAME: &str = "replank";
const GROUP: &str = "rbac.authorization.k8s.io";

/// Who is to have the rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A user, as the API server's authentication names it.
    User(String),
    /// A group of users.
    Group(String),
    /// A service account.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Subject {
    fn document(&self) -> Value {
        match self {
            Self::User(name) => json!({"kind": "User", "name": name, "apiGroup": GROUP}),
            Self::Group(name) => json!({"kind": "Group", "name": name, "apiGroup": GROUP}),
            Self::ServiceAccount { namespace, name } => {
                json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
            }
        }
    }
}

/// What a plan needs, as a ClusterRole, a Role for each namespace, and their bindings where somebody is named.
/// A namespace that the plan makes comes with its Role, which could not be there before it.
pub fn for_plan(plan: &Plan, subject: Option<&Subject>) -> Vec<Value> {
    let made = plan.steps.iter().filter_map(|step| match &step.action {
        Action::InstallObjects(install) => Some(&install.objects),
        _ => None,
    });
    let namespaces = made.flatten().filter(|new| new.object.kind.kind == "Namespace");
    let mut out: Vec<Value> = namespaces
        .map(|new| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": new.object.name}}))
        .collect();
    out.extend(manifests(&needed(plan), subject));
    out
}

/// A ClusterRole, a Role for each namespace, and their bindings where somebody is named.
pub fn manifests(rights: &BTreeSet<Right>, subject: Option<&Subject>) -> Vec<Value> {
    let mut places: BTreeMap<&Place, Vec<&Right>> = BTreeMap::new();
    for right in rights {
        places.entry(&right.place).or_default().push(right);
    }
    let mut out = Vec::new();
    for (place, rights) in places {
        let (role, binding, mut metadata) = match place {
            Place::Cluster => ("ClusterRole", "ClusterRoleBinding", json!({"name": NAME})),
            Place::Namespace(namespace) => {
                ("Role", "RoleBinding", json!({"name": NAME, "namespace": namespace}))
            }
        };
        metadata["labels"] = json!({"app.kubernetes.io/name": NAME});
        let api = format!("{GROUP}/v1");
        out.push(json!({"apiVersion": api, "kind": role, "metadata": metadata, "rules": rules(&rights)}));
        if let Some(subject) = subject {
            out.push(json!({
                "apiVersion": api, "kind": binding, "metadata": metadata,
                "roleRef": {"apiGroup": GROUP, "kind": role, "name": NAME},
                "subjects": [subject.document()],
            }));
        }
    }
    out
}

/// Rules in which verbs, names and resources that belong together stand together.
fn rules(rights: &[&Right]) -> Vec<Value> {
    let mut verbs: BTreeMap<(&str, &str, &Which), BTreeSet<&str>> = BTreeMap::new();
    for right in rights {
        let key = (right.group.as_str(), right.resource.as_str(), &right.which);
        verbs.entry(key).or_default().insert(right.verb.as_str());
    }
    let mut names: BTreeMap<(&str, &str, BTreeSet<&str>), BTreeSet<&str>> = BTreeMap::new();
    let mut resources: BTreeMap<(&str, BTreeSet<&str>), BTreeSet<&str>> = BTreeMap::new();
    for ((group, resource, which), verbs) in verbs {
        match which {
            Which::Any => resources.entry((group, verbs)).or_default().insert(resource),
            Which::Named(name) => names.entry((group, resource, verbs)).or_default().insert(name),
        };
    }
    let whole = resources.into_iter().map(
        |((group, verbs), resources)| json!({"apiGroups": [group], "resources": resources, "verbs": verbs}),
    );
    let named = names.into_iter().map(|((group, resource, verbs), names)| {
        json!({"apiGroups": [group], "resources": [resource], "resourceNames": names, "verbs": verbs})
    });
    whole.chain(named).collect()
}
