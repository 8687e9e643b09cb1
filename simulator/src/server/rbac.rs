//! Who may do what: roles and bindings.

use super::authn::User;
use super::object::{items, namespace_of, text};
use super::state::State;
use super::status::Status;
use crate::schema::builtin::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES};
use serde_json::Value;

/// What somebody wants to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) verb: String,
    pub(crate) group: String,
    /// The plural, with `/subresource` if it is about one.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The path, for what isn't a resource.
    pub(crate) path: String,
}

/// Paths that strangers may read too.
const FOR_ALL: [&str; 4] = ["/version", "/healthz", "/livez", "/readyz"];
/// Paths that everybody who is authenticated may read.
const FOR_KNOWN: [&str; 3] = ["/api", "/apis", "/openapi"];

fn is_public(path: &str, user: &User) -> bool {
    let known: &[&str] = if user.is_anonymous() { &[] } else { &FOR_KNOWN };
    let below = |public: &&str| path == *public || path.starts_with(&format!("{public}/"));
    FOR_ALL.iter().chain(known).any(below)
}

/// Whether the roles bound to the user allow it.
pub(crate) fn allowed(state: &State, user: &User, wish: &Wish) -> bool {
    if user.is_administrator() {
        return true;
    }
    if wish.resource.is_empty() && wish.verb == "get" && is_public(&wish.path, user) {
        return true;
    }
    let reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];
    if !user.is_anonymous() && wish.verb == "create" && reviews.contains(&wish.resource.as_str()) {
        return true;
    }
    let everywhere = state.store.list(&CLUSTER_ROLE_BINDINGS, None);
    let here = if wish.namespace.is_empty() {
        Vec::new()
    } else {
        state.store.list(&ROLE_BINDINGS, Some(&wish.namespace))
    };
    everywhere.iter().chain(&here).any(|binding| {
        let binding = &*binding.object;
        binds(binding, user) && rules_of(state, binding).iter().any(|rule| grants(rule, wish))
    })
}

/// The 403, worded like the real one.
pub(crate) fn denial(user: &User, wish: &Wish) -> Status {
    let who = &user.name;
    if wish.resource.is_empty() {
        let message = format!("forbidden: User \"{who}\" cannot {} path \"{}\"", wish.verb, wish.path);
        return Status::new(403, "Forbidden", message);
    }
    let plural = wish.resource.split('/').next().unwrap_or("");
    let qualified =
        if wish.group.is_empty() { plural.to_owned() } else { format!("{plural}.{}", wish.group) };
    let subject = if wish.name.is_empty() { qualified } else { format!("{qualified} \"{}\"", wish.name) };
    let place = if wish.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{}\"", wish.namespace)
    };
    let message = format!(
        "{subject} is forbidden: User \"{who}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
        wish.verb, wish.resource, wish.group
    );
    let mut status = Status::new(403, "Forbidden", message);
    status.name.clone_from(&wish.name);
    status.group.clone_from(&wish.group);
    plural.clone_into(&mut status.kind);
    status
}

fn binds(binding: &Value, user: &User) -> bool {
    items(binding, "/subjects").iter().any(|subject| {
        let name = text(subject, "/name");
        match text(subject, "/kind") {
            "User" => name == user.name,
            "Group" => user.groups.iter().any(|group| group == name),
            "ServiceAccount" => {
                let own = namespace_of(binding);
                let namespace = text(subject, "/namespace");
                let namespace = if namespace.is_empty() { own } else { namespace };
                user.name == format!("system:serviceaccount:{namespace}:{name}")
            }
            _ => false,
        }
    })
}

fn rules_of(state: &State, binding: &Value) -> Vec<Value> {
    let name = text(binding, "/roleRef/name");
    let role = match text(binding, "/roleRef/kind") {
        "Role" => state.store.get(&ROLES, namespace_of(binding), name),
        _ => state.store.get(&CLUSTER_ROLES, "", name),
    };
    role.map(|role| items(&role.object, "/rules").to_vec()).unwrap_or_default()
}

/// Whether one rule grants the wish.
pub(crate) fn grants(rule: &Value, wish: &Wish) -> bool {
    let has = |field: &str, wanted: &str| items(rule, field).iter().any(|v| v == "*" || v == wanted);
    if !has("/verbs", &wish.verb) {
        return false;
    }
    if wish.resource.is_empty() {
        return items(rule, "/nonResourceURLs").iter().filter_map(Value::as_str).any(|url| {
            url == wish.path || url.strip_suffix('*').is_some_and(|prefix| wish.path.starts_with(prefix))
        });
    }
    let (_, sub) = wish.resource.split_once('/').unwrap_or((&wish.resource, ""));
    let resource = items(rule, "/resources").iter().filter_map(Value::as_str).any(|resource| {
        resource == "*"
            || resource == wish.resource
            || (!sub.is_empty() && resource.strip_prefix("*/").is_some_and(|wanted| wanted == sub))
    });
    let names = items(rule, "/resourceNames");
    has("/apiGroups", &wish.group) && resource && (names.is_empty() || names.iter().any(|n| *n == wish.name))
}
