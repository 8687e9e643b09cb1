//! What controllers ask of pods, and how they make them.

use crate::controllers::context::Cx;
use crate::controllers::objects::{condition, controller_reference, items, number, text};
use crate::schema::Resource;
use crate::schema::builtin::PODS;
use crate::server::{Object, Phase, Status};
use serde_json::{Value, json};
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::time::Duration;

/// Whether the pod has ended.
pub(crate) fn is_finished(pod: &Object) -> bool {
    pod.pod().phase != Phase::Lives
}

/// Whether the pod counts for its controller.
pub(crate) fn is_active(pod: &Object) -> bool {
    !is_finished(pod) && !pod.pod().terminating
}

/// Whether the pod's Ready condition is true.
pub(crate) fn is_ready(pod: &Object) -> bool {
    pod.pod().ready
}

/// Whether the pod has been ready for long enough; else when it will have been, if it is ready.
pub(crate) fn availability(cx: &Cx, pod: &Object, min_ready: i64) -> Result<(), Option<Duration>> {
    if !is_ready(pod) {
        return Err(None);
    }
    if min_ready <= 0 {
        return Ok(());
    }
    let since = condition(pod, "Ready").map_or("", |ready| text(ready, "/lastTransitionTime"));
    let wait = Duration::from_secs(min_ready.unsigned_abs());
    cx.until(since, wait).map_or(Ok(()), |left| Err(Some(left)))
}

/// The name of the node the pod is bound to.
pub(crate) fn node_of(pod: &Object) -> &str {
    &pod.pod().node
}

/// The pods this owner manages, in key order.
pub(crate) fn managed(cx: &Cx, owner_uid: &str) -> Vec<Object> {
    let owned = cx.direct.owned_by(owner_uid, &PODS).into_iter();
    owned.filter(|pod| &*pod.pod().controller == owner_uid).collect()
}

/// A pod from a template, managed by its owner.
pub(crate) fn from_template(template: &Value, resource: &Resource, owner: &Value) -> Value {
    let mut meta = json!({
        "namespace": owner["metadata"]["namespace"],
        "generateName": format!("{}-", text(owner, "/metadata/name")),
        "ownerReferences": [controller_reference(resource, owner)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field) {
            meta[field] = value.clone();
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})
}

/// Creates a pod, and tells of a refusal.
pub(crate) fn create(cx: &Cx, owner: &Value, pod: Value) -> Result<Object, Status> {
    cx.direct.create(&PODS, pod).inspect_err(|status| {
        let terminating = status.causes.iter().any(|cause| cause.reason == "NamespaceTerminating");
        if status.reason != "AlreadyExists" && !terminating {
            cx.tell(owner, "Warning", "FailedCreate", &format!("Error creating: {}", status.message));
        }
    })
}

/// Puts the pods first that are missed least when there are too many.
pub(crate) fn sort_for_deletion(pods: &mut [Object]) {
    let mut together: BTreeMap<String, usize> = BTreeMap::new();
    for pod in pods.iter() {
        *together.entry(node_of(pod).to_owned()).or_default() += 1;
    }
    pods.sort_by(|a, b| compare(a, b, &together));
}

fn compare(a: &Object, b: &Object, together: &BTreeMap<String, usize>) -> Ordering {
    let phase = |pod: &Object| match text(pod, "/status/phase") {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let cost = |pod: &Object| -> i64 {
        let cost = text(pod, "/metadata/annotations/controller.kubernetes.io~1pod-deletion-cost");
        cost.parse().unwrap_or(0)
    };
    let rank = |pod: &Object| Reverse(together.get(node_of(pod)).copied().unwrap_or(0));
    let restarts = |pod: &Value| -> i64 {
        items(pod, "/status/containerStatuses").iter().map(|one| number(one, "/restartCount", 0)).sum()
    };
    let ready_since = |pod: &Value| {
        condition(pod, "Ready")
            .filter(|ready| ready["status"] == "True")
            .map_or(String::new(), |ready| text(ready, "/lastTransitionTime").to_owned())
    };
    let created = |pod: &Value| text(pod, "/metadata/creationTimestamp").to_owned();
    let bound = |pod: &Object| !node_of(pod).is_empty();
    (bound(a).cmp(&bound(b)))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| is_ready(a).cmp(&is_ready(b)))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| rank(a).cmp(&rank(b)))
        .then_with(|| ready_since(b).cmp(&ready_since(a)))
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| created(b).cmp(&created(a)))
        .then_with(|| text(a, "/metadata/name").cmp(text(b, "/metadata/name")))
}

/// The name of the owner of this kind that manages an object.
pub(crate) fn controller(object: &Value, kind: &str) -> Option<String> {
    let owner = crate::controllers::objects::controller_of(object)?;
    (owner["kind"] == kind).then(|| text(owner, "/name").to_owned())
}
