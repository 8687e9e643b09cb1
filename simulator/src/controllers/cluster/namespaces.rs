//! Namespaces that end: their content goes first, and they wait for APIs that don't answer.

use crate::controllers::context::{Cx, gone_is_fine};
use crate::controllers::objects::{
    about, conditions_of, finalizers, is_terminating, name_of, namespace_of, set_condition,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::Resource;
use crate::schema::builtin::{API_SERVICES, NAMESPACES};
use crate::server::{DeleteOptions, Event, EventKind, Object, Status, Subresource};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How soon a namespace that waits for an API is looked at again; the real one backs off to more.
const AGAIN: Duration = Duration::from_secs(15);

/// The namespace controller.
#[derive(Default)]
pub(crate) struct Namespaces {
    /// Namespaces that wait for an API.
    waiting: BTreeSet<String>,
}

impl Controller for Namespaces {
    type Key = String;

    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<String>) {
        let object = event.object();
        if about(event, &API_SERVICES) {
            // Those that wait may go on.
            queue.add_all(std::mem::take(&mut self.waiting));
        } else if about(event, &NAMESPACES) {
            queue.add(name_of(object).to_owned());
        } else if event.kind == EventKind::Deleted && !namespace_of(object).is_empty() {
            queue.add(namespace_of(object).to_owned());
        }
    }

    fn sync(&mut self, cx: &Cx, name: &String, queue: &mut Queue<String>) -> Result<(), Status> {
        let Some(namespace) = cx.get(&NAMESPACES, "", name).filter(|n| is_terminating(n)) else {
            return Ok(());
        };
        let dead = dead_api(cx);
        let refusals = empty(cx, name);
        let left = cx.direct.in_namespace(name);
        tell(cx, &namespace, dead.as_deref(), &refusals, &left)?;
        if let Some(refusal) = refusals.into_values().next() {
            return Err(refusal);
        }
        if dead.is_some() {
            self.waiting.insert(name.clone());
            queue.add_after(name.clone(), AGAIN);
            return Ok(());
        }
        if left.is_empty() { finalize(cx, &namespace) } else { Ok(()) }
    }
}

/// Deletes what a namespace holds; the last refusal of each kind, since the others go on without it.
fn empty(cx: &Cx, namespace: &str) -> BTreeMap<String, Status> {
    let mut refusals = BTreeMap::new();
    let held = cx.direct.in_namespace(namespace);
    for (resource, object) in held.iter().filter(|(_, object)| !is_terminating(object)) {
        let gone = cx.direct.delete(resource, namespace, name_of(object), DeleteOptions::default());
        if let Err(refusal) = gone_is_fine(gone) {
            refusals.insert(resource.qualified(), refusal);
        }
    }
    refusals
}

/// An aggregated API that does not answer: without it nobody knows what a namespace holds.
fn dead_api(cx: &Cx) -> Option<String> {
    let available = |service: &Value| {
        let conditions = service["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|c| c["type"] == "Available" && c["status"] == "True")
    };
    cx.direct
        .list(&API_SERVICES, None)
        .iter()
        .find(|service| service["spec"]["service"].is_object() && !available(service))
        .map(|service| name_of(service).to_owned())
}

fn condition(kind: &str, bad: bool, reason: &str, message: String) -> Value {
    let status = if bad { "True" } else { "False" };
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

/// Whether everything could be told to go.
fn deletion(refusals: &BTreeMap<String, Status>) -> Value {
    let kind = "NamespaceDeletionContentFailure";
    if refusals.is_empty() {
        let message = "All content successfully deleted, may be waiting on finalization";
        return condition(kind, false, "ContentDeleted", message.into());
    }
    let mut said: Vec<&str> = refusals.values().map(|refusal| refusal.message.as_str()).collect();
    said.sort_unstable();
    let message =
        format!("Failed to delete all resource types, {} remaining: {}", said.len(), said.join(", "));
    condition(kind, true, "ContentDeletionFailed", message)
}

fn tell(
    cx: &Cx,
    namespace: &Value,
    dead: Option<&str>,
    refusals: &BTreeMap<String, Status>,
    left: &[(Resource, Object)],
) -> Result<(), Status> {
    let discovery = match dead {
        Some(api) => condition(
            "NamespaceDeletionDiscoveryFailure",
            true,
            "DiscoveryFailed",
            format!(
                "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: {api}: stale GroupVersion discovery"
            ),
        ),
        None => condition(
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered".into(),
        ),
    };
    let content = if left.is_empty() {
        condition(
            "NamespaceContentRemaining",
            false,
            "ContentRemoved",
            "All content successfully removed".into(),
        )
    } else {
        condition("NamespaceContentRemaining", true, "SomeResourcesRemain", remaining(left))
    };
    let held = held(left);
    let finalizers = if held.is_empty() {
        condition(
            "NamespaceFinalizersRemaining",
            false,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".into(),
        )
    } else {
        let message = format!("Some content in the namespace has finalizers remaining: {held}");
        condition("NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", message)
    };
    let mut conditions = conditions_of(namespace);
    let now = cx.stamp();
    let mut changed = set_condition(&mut conditions, discovery, &now);
    changed |= set_condition(&mut conditions, deletion(refusals), &now);
    changed |= set_condition(&mut conditions, content, &now);
    changed |= set_condition(&mut conditions, finalizers, &now);
    if !changed {
        return Ok(());
    }
    let mut status = namespace["status"].clone();
    status["conditions"] = Value::Array(conditions);
    status["phase"] = json!("Terminating");
    cx.set_status(&NAMESPACES, namespace, status)
}

/// What is left of each kind.
fn remaining(left: &[(Resource, Object)]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (resource, _) in left {
        *counts.entry(resource.qualified()).or_default() += 1;
    }
    let parts: Vec<String> =
        counts.iter().map(|(kind, count)| format!("{kind} has {count} resource instances")).collect();
    format!("Some resources are remaining: {}", parts.join(", "))
}

/// The finalizers that hold what is left.
fn held(left: &[(Resource, Object)]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for finalizer in left.iter().flat_map(|(_, object)| finalizers(object)) {
        *counts.entry(finalizer).or_default() += 1;
    }
    let parts: Vec<String> =
        counts.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
    parts.join(", ")
}

fn finalize(cx: &Cx, namespace: &Value) -> Result<(), Status> {
    cx.edit(&NAMESPACES, "", name_of(namespace), Subresource::Finalize, |object| {
        object["spec"]["finalizers"] = json!([]);
    })
    .map(|_| ())
}
