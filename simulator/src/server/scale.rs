//! The `scale` subresource: a small object in place of a big one.

use super::kinds::Kind;
use super::object::{Entry, at, items, text};
use super::options::{Act, Subresource};
use super::state::State;
use super::status::Status;
use crate::schema::registry::crd::ScalePaths;
use crate::schema::{PatchKind, apply_patch};
use serde_json::{Value, json};

/// Where objects of a kind have their numbers.
fn paths(kind: &Kind) -> ScalePaths {
    let own = kind.info.crd.as_ref().and_then(|crd| crd.scale.clone());
    own.unwrap_or_else(ScalePaths::builtin)
}

/// What is at a path as a definition writes it, such as `.spec.replicas`.
fn found<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    at(object, &path.replace('.', "/"))
}

/// How many replicas an object wants; nothing if it doesn't say.
pub(crate) fn wanted(kind: &Kind, object: &Value) -> Option<i64> {
    found(object, &paths(kind).spec_replicas)?.as_i64()
}

/// Refuses to show the Scale of an object that doesn't say how many replicas it wants.
pub(crate) fn check(kind: &Kind, object: &Value) -> Result<(), Status> {
    let path = paths(kind).spec_replicas;
    let missing = || Status::internal(format!("the spec replicas field {path:?} does not exist"));
    wanted(kind, object).map(|_| ()).ok_or_else(missing)
}

/// The `autoscaling/v1` Scale of a workload.
pub(crate) fn view(kind: &Kind, object: &Value) -> Value {
    let paths = paths(kind);
    let meta = &object["metadata"];
    let current = found(object, &paths.status_replicas).and_then(Value::as_i64).unwrap_or(0);
    let mut status = json!({"replicas": current});
    let selector = match (&paths.label_selector, kind.custom) {
        (Some(path), _) => found(object, path).and_then(Value::as_str).unwrap_or("").to_owned(),
        (None, true) => String::new(),
        (None, false) => selector(object),
    };
    if !selector.is_empty() {
        status["selector"] = json!(selector);
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"], "creationTimestamp": meta["creationTimestamp"],
        },
        "spec": match wanted(kind, object).unwrap_or(0) {
            0 => json!({}),
            replicas => json!({"replicas": replicas}),
        },
        "status": status,
    })
}

/// The selector of a built-in workload, as a text.
fn selector(object: &Value) -> String {
    let mut labels: Vec<String> = object
        .pointer("/spec/selector/matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
        .collect();
    labels
        .extend(items(object, "/spec/selector/matchExpressions").iter().map(|e| text(e, "/key").to_owned()));
    labels.join(",")
}

/// Puts a number where a path leads, and what is missing on the way.
fn put(object: &mut Value, path: &str, number: i64) {
    let fields = path.split('.').filter(|field| !field.is_empty());
    let change = fields.rev().fold(json!(number), |inner, field| json!({ field: inner }));
    json_patch::merge(object, &change);
}

impl State {
    /// Sets the number of replicas a Scale asks for.
    pub(crate) fn set_scale(
        &mut self,
        act: &Act,
        kind: &Kind,
        namespace: &str,
        name: &str,
        scale: &Value,
    ) -> Result<Entry, Status> {
        let current = self.current(&kind.resource, namespace, name)?;
        let version = text(scale, "/metadata/resourceVersion");
        if !version.is_empty() && version != text(&current.object, "/metadata/resourceVersion") {
            return Err(Status::modified(&kind.resource, name));
        }
        let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
        let mut next = (*current.object).clone();
        kind.info.present(&mut next);
        put(&mut next, &paths(kind).spec_replicas, replicas);
        Ok(self.update(act, kind, namespace, name, Subresource::Scale, next)?.entry)
    }

    /// Patches the Scale of a workload.
    pub(crate) fn patch_scale(
        &mut self,
        act: &Act,
        kind: &Kind,
        namespace: &str,
        name: &str,
        patch: PatchKind,
        body: &[u8],
    ) -> Result<Entry, Status> {
        let current = self.current(&kind.resource, namespace, name)?;
        let patch = if patch == PatchKind::Json { PatchKind::Json } else { PatchKind::Merge };
        let scale = apply_patch(patch, &kind.info, view(kind, &current.object), body)?;
        self.set_scale(act, kind, namespace, name, &scale)
    }
}
