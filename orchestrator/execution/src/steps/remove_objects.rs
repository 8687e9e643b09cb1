//! Objects that go, stage by stage: each stage is gone before the next begins.

use super::Step;
use super::gone::{finalizers, gone};
use super::support::{decode, encode, text};
use crate::api::path;
use crate::engine::{StepContext, StepError};
use crate::guards::Guard;
use crate::run_dir::Backup;
use async_trait::async_trait;
use replank_planning::object::{Kind, ObjectRef};
use replank_planning::plan::Action;
use replank_planning::plan::action::{RemovalStage, RemoveObjects};
use serde_json::{Value, json};

/// See [`replank_planning::plan::Action::RemoveObjects`].
pub struct RemoveObjectsStep(pub RemoveObjects);

/// Kinds whose dependents must be gone before what they need goes: their pods' teardown asks the API.
const OWNERS: [&str; 5] = ["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet", "Job"];

/// An object that is still there.
struct There {
    object: ObjectRef,
    body: Value,
}

#[async_trait]
impl Step for RemoveObjectsStep {
    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let mut stages = Vec::new();
        for stage in &self.0.stages {
            let mut objects = Vec::new();
            for there in self.there(cx, stage).await? {
                let mut body = there.body;
                body["apiVersion"] = json!(there.object.kind.api_version());
                body["kind"] = json!(there.object.kind.kind);
                objects.push(json!({"object": there.object, "body": body}));
            }
            stages.push(Value::Array(objects));
        }
        encode(&cx.back_up("before", &Value::Array(stages))?)
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let mut count = 0_u64;
        for stage in &self.0.stages {
            count += self.remove(cx, stage).await?;
        }
        if !cx.holds(Guard::OnlyPlannedChanges) {
            by_name(cx).await?;
        }
        Ok(json!({"removed": count}))
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let backup: Backup = decode(before)?;
        let stages = cx.restore(&backup)?;
        for stage in stages.as_array().into_iter().flatten().rev() {
            for entry in stage.as_array().into_iter().flatten() {
                let object: ObjectRef = decode(&entry["object"])?;
                put_back(cx, &object, &entry["body"]).await?;
            }
        }
        Ok(())
    }
}

impl RemoveObjectsStep {
    /// What of a stage is still there.
    async fn there(&self, cx: &StepContext<'_>, stage: &RemovalStage) -> Result<Vec<There>, StepError> {
        let mut found: Vec<There> = Vec::new();
        for id in &stage.objects {
            if self.skipped(cx, &id.object) {
                continue;
            }
            // Another incarnation is someone's new object, and not in the plan.
            if let Some(body) = cx.find(&path::object(&id.object)).await?
                && text(&body, "/metadata/uid") == id.uid.as_str()
            {
                found.push(There { object: id.object.clone(), body });
            }
        }
        for object in &stage.references {
            if let Some(body) = cx.find(&path::object(object)).await? {
                found.push(There { object: object.clone(), body });
            }
        }
        for kind in &stage.kinds {
            for body in cx.list(&path::collection(kind, ""), "").await? {
                let object = ObjectRef::new(
                    kind.clone(),
                    text(&body, "/metadata/namespace"),
                    text(&body, "/metadata/name"),
                );
                found.push(There { object, body });
            }
        }
        Ok(found)
    }

    /// Without the guard one object is left: the last one of the plan's last removal.
    fn skipped(&self, cx: &StepContext<'_>, object: &ObjectRef) -> bool {
        let last = cx.plan().steps.iter().rfind(|s| matches!(s.action, Action::RemoveObjects(_)));
        !cx.holds(Guard::Removal)
            && last.is_some_and(|s| s.id == cx.step.id)
            && self
                .0
                .stages
                .iter()
                .rev()
                .find_map(|s| s.objects.last())
                .is_some_and(|last| last.object == *object)
    }

    async fn remove(&self, cx: &StepContext<'_>, stage: &RemovalStage) -> Result<u64, StepError> {
        let mut asked = 0;
        loop {
            let there = self.there(cx, stage).await?;
            let Some(first) = there.first() else { return Ok(asked) };
            for entry in &there {
                if entry.body.pointer("/metadata/deletionTimestamp").is_none() {
                    asked += 1;
                    ask(cx, entry).await?;
                } else {
                    strip(cx, entry, stage).await?;
                }
            }
            gone(cx, &first.object, |now| {
                let deleting = now.pointer("/metadata/deletionTimestamp").is_some();
                // Or it can be helped on its way.
                !deleting || finalizers(now).iter().any(|f| stage.orphaned_finalizers.contains(f))
            })
            .await?;
        }
    }
}

async fn ask(cx: &StepContext<'_>, entry: &There) -> Result<(), StepError> {
    let uid = text(&entry.body, "/metadata/uid");
    let at = path::object(&entry.object);
    if OWNERS.contains(&entry.object.kind.kind.as_str()) {
        cx.delete_with_dependents(&at, uid).await
    } else {
        cx.delete(&at, uid).await
    }
}

/// Takes off finalizers that nobody is left to clear.
async fn strip(cx: &StepContext<'_>, entry: &There, stage: &RemovalStage) -> Result<(), StepError> {
    let orphaned = |f: &String| stage.orphaned_finalizers.contains(f);
    if !finalizers(&entry.body).iter().any(orphaned) {
        return Ok(());
    }
    let uid = replank_planning::ids::Uid::new(text(&entry.body, "/metadata/uid"));
    let edited = cx
        .edit(&path::object(&entry.object), Some(&uid), |there| {
            let all = finalizers(there);
            let left: Vec<&String> = all.iter().filter(|f| !orphaned(f)).collect();
            Ok((left.len() != all.len()).then(|| json!({"metadata": {"finalizers": left}})))
        })
        .await;
    match edited {
        // It went in between.
        Err(StepError::Refused(replank_planning::waiting::Refusal::Changed { .. })) => Ok(()),
        other => other.map(drop),
    }
}

async fn put_back(cx: &StepContext<'_>, object: &ObjectRef, body: &Value) -> Result<(), StepError> {
    let mut body = body.clone();
    if let Some(whole) = body.as_object_mut() {
        whole.remove("status");
    }
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.retain(|key, _| {
            matches!(key.as_str(), "name" | "namespace" | "labels" | "annotations" | "finalizers")
        });
    }
    match cx.create(&path::collection(&object.kind, &object.namespace), &body).await? {
        Ok(_) => Ok(()),
        Err(error) if error.is_already_there() => Ok(()),
        // A kind whose definition was put back a moment ago is not served at once.
        Err(error) if error.is_not_found() => {
            Err(StepError::Failed(format!("{object} can't be put back yet: {error}")))
        }
        Err(error) => Err(StepError::server(format!("put back {object}"), &error)),
    }
}

/// What the guard keeps us from: taking whatever is called like the old network.
async fn by_name(cx: &StepContext<'_>) -> Result<(), StepError> {
    let kind = Kind::namespaced("", "v1", "ConfigMap", "configmaps");
    for map in cx.list(&path::collection(&kind, ""), "").await? {
        let (namespace, name) = (text(&map, "/metadata/namespace"), text(&map, "/metadata/name"));
        if name.contains("calico") {
            cx.delete(&path::core(namespace, "configmaps", name), text(&map, "/metadata/uid")).await?;
        }
    }
    Ok(())
}
