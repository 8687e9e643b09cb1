//! Patches on objects that stay, each back to what was there.

use super::Step;
use super::support::{GATE_LABEL, decode, items, number, rollout};
use crate::api::path;
use crate::engine::edit::same_incarnation;
use crate::engine::{StepContext, StepError};
use crate::run_dir::Backup;
use async_trait::async_trait;
use replank_planning::object::ObjectRef;
use replank_planning::plan::action::PatchObjects;
use replank_planning::waiting::Waiting;
use serde_json::{Map, Value, json};

/// Where an Installation tells the operator how to schedule the agents.
const OVERRIDE: &str = "/spec/calicoNodeDaemonSet/spec/template/spec/affinity";

/// See [`replank_planning::plan::Action::PatchObjects`].
pub struct PatchObjectsStep(pub PatchObjects);

#[async_trait]
impl Step for PatchObjectsStep {
    async fn check(&self, cx: &StepContext<'_>) -> Result<(), StepError> {
        for patch in &self.0.patches {
            let what = &patch.target.object;
            let there =
                cx.find(&path::object(what)).await?.ok_or_else(|| StepError::changed(what, "it is gone"))?;
            same_incarnation(&what.to_string(), &there, Some(&patch.target.uid))?;
        }
        Ok(())
    }

    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let mut inverse = Vec::new();
        for patch in &self.0.patches {
            let there = cx.find(&path::object(&patch.target.object)).await?.unwrap_or_default();
            inverse.push(undoing(&patch.patch, &there));
        }
        let backup = cx.back_up("before", &Value::Array(inverse))?;
        super::support::encode(&backup)
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        for patch in &self.0.patches {
            put(cx, &patch.target.object, &patch.target.uid, &patch.patch).await?;
        }
        let pins = self.0.patches.iter().any(|patch| patch.patch.pointer(OVERRIDE).is_some());
        for object in &self.0.wait_for {
            if pins {
                written(cx, object).await?;
            }
            rolled_out(cx, object).await?;
        }
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let backup: Backup = decode(before)?;
        let inverse = cx.restore(&backup)?;
        let patches = inverse.as_array().cloned().unwrap_or_default();
        for (patch, inverse) in self.0.patches.iter().zip(patches).rev() {
            put(cx, &patch.target.object, &patch.target.uid, &inverse).await?;
        }
        for object in &self.0.wait_for {
            rolled_out(cx, object).await?;
        }
        Ok(())
    }
}

async fn put(
    cx: &StepContext<'_>,
    object: &ObjectRef,
    uid: &replank_planning::ids::Uid,
    patch: &Value,
) -> Result<(), StepError> {
    cx.edit(&path::object(object), Some(uid), |there| {
        Ok(if is_there(patch, there) { None } else { Some(patch.clone()) })
    })
    .await
    .map(drop)
}

/// Waits until the operator has written what its Installation says: until then the DaemonSet's old rollout
/// looks complete, and its agents would come up on a replacement.
async fn written(cx: &StepContext<'_>, object: &ObjectRef) -> Result<(), StepError> {
    let query = path::fields(&format!("metadata.name={}", object.name));
    let mut follow = cx.follow(&path::collection(&object.kind, &object.namespace), &query).await?;
    loop {
        let there = follow.get(&object.namespace, &object.name);
        let there = there.ok_or_else(|| StepError::changed(object, "it is gone"))?;
        if is_pinned(there) {
            return Ok(());
        }
        let wanted = u32::try_from(number(there, "/status/desiredNumberScheduled")).unwrap_or(0);
        cx.waiting(Waiting::Rollout { object: object.clone(), node: None, ready: 0, wanted })?;
        cx.changed(&mut follow).await?;
    }
}

fn is_pinned(set: &Value) -> bool {
    let terms = items(
        set,
        "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms",
    );
    // Terms are alternatives: one without the label would let the agents onto a replacement.
    !terms.is_empty()
        && terms.iter().all(|term| items(term, "/matchExpressions").iter().any(|e| e["key"] == GATE_LABEL))
}

/// Waits until a rollout is complete.
///
/// # Errors
/// When the object is gone, the server refuses or a pause was asked for.
pub async fn rolled_out(cx: &StepContext<'_>, object: &ObjectRef) -> Result<(), StepError> {
    let query = path::fields(&format!("metadata.name={}", object.name));
    let mut follow = cx.follow(&path::collection(&object.kind, &object.namespace), &query).await?;
    loop {
        let there = follow.get(&object.namespace, &object.name);
        let there = there.ok_or_else(|| StepError::changed(object, "it is gone"))?;
        let Some(waiting) = rollout(there, object) else { return Ok(()) };
        cx.waiting(waiting)?;
        cx.changed(&mut follow).await?;
    }
}

/// The merge patch that takes another one back: what was there under each of its keys, or nothing.
pub fn undoing(patch: &Value, there: &Value) -> Value {
    let Some(changes) = patch.as_object() else { return there.clone() };
    let mut back = Map::new();
    for (key, change) in changes {
        let old = &there[key];
        let inner = match (change, old) {
            (Value::Object(_), Value::Object(_)) => undoing(change, old),
            _ => old.clone(),
        };
        back.insert(key.clone(), inner);
    }
    Value::Object(back)
}

/// Whether a merge patch would change nothing.
pub fn is_there(patch: &Value, there: &Value) -> bool {
    match patch {
        Value::Object(changes) => {
            changes.iter().all(|(key, change)| is_there(change, there.get(key).unwrap_or(&json!(null))))
        }
        other => other == there,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_pinned_once_every_alternative_names_the_gate() {
        let set = |terms: Value| {
            let required =
                json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
            json!({"spec": {"template": {"spec": {"affinity": {"nodeAffinity": required}}}}})
        };
        let gate = json!({"matchExpressions": [{"key": GATE_LABEL, "operator": "In", "values": ["old"]}]});
        let other = json!({"matchExpressions": [{"key": "kubernetes.io/os", "operator": "Exists"}]});
        assert!(!is_pinned(&json!({"spec": {}})), "the operator has not written yet");
        assert!(!is_pinned(&set(json!([gate, other]))));
        assert!(is_pinned(&set(json!([gate]))));
    }

    #[test]
    fn a_patch_is_taken_back_key_by_key() {
        let there = json!({"spec": {"a": 1, "list": [1], "stays": true, "map": {"x": "y"}}});
        let patch = json!({"spec": {"a": 2, "list": [2, 3], "new": {"deep": 1}, "map": {"x": null}}});
        assert!(!is_there(&patch, &there));
        let back = undoing(&patch, &there);
        assert_eq!(back, json!({"spec": {"a": 1, "list": [1], "new": null, "map": {"x": "y"}}}));
        assert!(is_there(&back, &there));
    }
}
