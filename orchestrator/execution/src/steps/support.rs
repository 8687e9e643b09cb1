//! What several steps read of objects.

use crate::engine::StepError;
use replank_planning::object::ObjectRef;
use replank_planning::state::{Taint, TaintEffect};
use replank_planning::waiting::Waiting;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use replank_planning::cni::{GATE_LABEL, NEW_SIDE, UNADMITTED_TAINT as UNADMITTED};

/// The taint of old nodes behind the fence.
pub const LEAVING: &str = "replank.dev/leaving";

/// What a step wrote into the journal, back.
///
/// # Errors
/// When it is something else.
pub fn decode<T: DeserializeOwned>(value: &Value) -> Result<T, StepError> {
    serde_json::from_value(value.clone())
        .map_err(|e| StepError::Failed(format!("the journal's record of this step is not understood: {e}")))
}

/// What a step writes into the journal.
///
/// # Errors
/// When it can't be written as JSON.
pub fn encode<T: Serialize>(value: &T) -> Result<Value, StepError> {
    serde_json::to_value(value).map_err(|e| StepError::Failed(format!("a record can't be written: {e}")))
}

/// A text by JSON pointer; empty if there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A number by JSON pointer; 0 if there is none.
pub fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// A list by JSON pointer; empty if there is none.
pub fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `namespace/name`, or the name alone.
pub fn name_of(object: &Value) -> String {
    match text(object, "/metadata/namespace") {
        "" => text(object, "/metadata/name").to_owned(),
        namespace => format!("{namespace}/{}", text(object, "/metadata/name")),
    }
}

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, "/status/conditions").iter().find(|c| c["type"] == kind)
}

/// Whether a condition is `True`.
pub fn holds(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| c["status"] == "True")
}

/// Whether a pod is ready and not on its way out.
pub fn pod_ready(pod: &Value) -> bool {
    pod.pointer("/metadata/deletionTimestamp").is_none() && holds(pod, "Ready")
}

/// Why a Node is not ready; `None` if it is.
pub fn not_ready(node: &Value) -> Option<String> {
    match condition(node, "Ready") {
        Some(ready) if ready["status"] == "True" => None,
        Some(ready) => Some(match text(ready, "/message") {
            "" => format!("Ready is {}", ready["status"].as_str().unwrap_or("Unknown")),
            message => message.to_owned(),
        }),
        None => Some("it has not said anything yet".to_owned()),
    }
}

/// A taint as the API writes it.
pub fn taint_json(taint: &Taint) -> Value {
    let mut out = json!({"key": taint.key, "effect": effect(taint.effect)});
    if !taint.value.is_empty() {
        out["value"] = json!(taint.value);
    }
    out
}

/// A taint effect as the API writes it.
pub fn effect(effect: TaintEffect) -> &'static str {
    match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    }
}

/// Whether two taints are the same but for their value.
pub fn same_taint(a: &Value, b: &Value) -> bool {
    a["key"] == b["key"] && a["effect"] == b["effect"]
}

/// What a DaemonSet or Deployment still waits for; `None` if its rollout is complete.
pub fn rollout(object: &Value, reference: &ObjectRef) -> Option<Waiting> {
    let wait = |ready: i64, wanted: i64| {
        Some(Waiting::Rollout {
            object: reference.clone(),
            node: None,
            ready: u32::try_from(ready).unwrap_or(0),
            wanted: u32::try_from(wanted).unwrap_or(0),
        })
    };
    let seen = number(object, "/status/observedGeneration") >= number(object, "/metadata/generation");
    if reference.kind.kind == "DaemonSet" {
        let wanted = number(object, "/status/desiredNumberScheduled");
        let updated = number(object, "/status/updatedNumberScheduled");
        // With `OnDelete` nobody rolls pods, so none are waited for.
        let rolls = text(object, "/spec/updateStrategy/type") != "OnDelete";
        let ready = number(object, "/status/numberReady");
        if seen && ready >= wanted && (updated >= wanted || !rolls) {
            return None;
        }
        return wait(if seen { ready.min(updated) } else { 0 }, wanted);
    }
    let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let updated = number(object, "/status/updatedReplicas");
    let ready = number(object, "/status/availableReplicas");
    let total = number(object, "/status/replicas");
    if seen && updated >= wanted && ready >= wanted && total <= updated {
        return None;
    }
    wait(if seen { ready.min(updated) } else { 0 }, wanted)
}
