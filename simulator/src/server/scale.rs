//! The `scale` subresource: a small object in place of a big one.

use super::kinds::Kind;
use super::object::{Entry, child, items, text};
use super::options::{Act, Subresource};
use super::state::State;
use super::status::Status;
use crate::schema::{PatchKind, apply_patch};
use serde_json::{Value, json};

/// The `autoscaling/v1` Scale of a workload.
pub(crate) fn view(object: &Value) -> Value {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let meta = &object["metadata"];
    let mut labels: Vec<String> = object
        .pointer("/spec/selector/matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
        .collect();
    labels
        .extend(items(object, "/spec/selector/matchExpressions").iter().map(|e| text(e, "/key").to_owned()));
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"], "creationTimestamp": meta["creationTimestamp"],
        },
        "spec": match number("/spec/replicas") {
            0 => json!({}),
            replicas => json!({"replicas": replicas}),
        },
        "status": {"replicas": number("/status/replicas"), "selector": labels.join(",")},
    })
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
        child(&mut next, "spec").insert("replicas".into(), json!(replicas));
        Ok(self.update(act, kind, namespace, name, Subresource::None, next)?.entry)
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
        let scale = apply_patch(patch, &kind.info, view(&current.object), body)?;
        self.set_scale(act, kind, namespace, name, &scale)
    }
}
