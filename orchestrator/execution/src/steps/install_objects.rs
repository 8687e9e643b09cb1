//! Objects that become ours.

use super::Step;
use super::gone::gone;
use super::support::{decode, encode, text};
use crate::api::{PatchKind, path};
use crate::engine::{StepContext, StepError};
use crate::run_dir::Backup;
use async_trait::async_trait;
use replank_planning::plan::action::InstallObjects;
use serde_json::{Value, json};

/// See [`replank_planning::plan::Action::InstallObjects`].
pub struct InstallObjectsStep(pub InstallObjects);

#[async_trait]
impl Step for InstallObjectsStep {
    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let mut there = Vec::new();
        for new in &self.0.objects {
            there.push(cx.find(&path::object(&new.object)).await?.unwrap_or_default());
        }
        encode(&cx.back_up("before", &Value::Array(there))?)
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let mut uids = Vec::new();
        for new in &self.0.objects {
            let answer = cx.patch(&path::object(&new.object), PatchKind::Apply, &new.body).await?;
            let made = answer.map_err(|e| StepError::server(format!("apply {}", new.object), &e))?;
            uids.push(json!(text(&made, "/metadata/uid")));
        }
        Ok(Value::Array(uids))
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let backup: Backup = decode(before)?;
        let there = cx.restore(&backup)?;
        let there = there.as_array().cloned().unwrap_or_default();
        let mut going = Vec::new();
        for (new, before) in self.0.objects.iter().zip(there).rev() {
            let at = path::object(&new.object);
            let Some(now) = cx.find(&at).await? else { continue };
            if before.is_null() {
                let uid = text(&now, "/metadata/uid").to_owned();
                cx.delete(&at, &uid).await?;
                going.push((&new.object, uid));
                continue;
            }
            let back = super::patch_objects::undoing(&changes(&new.body), &before);
            cx.edit(&at, None, |there| {
                Ok((!super::patch_objects::is_there(&back, there)).then(|| back.clone()))
            })
            .await?;
        }
        // A namespace goes when all that is in it has gone.
        for (object, uid) in going {
            gone(cx, object, |now| text(now, "/metadata/uid") != uid).await?;
        }
        Ok(())
    }
}

/// What of an object's body changes an object that was there already: not what says which object it is.
fn changes(body: &Value) -> Value {
    let mut changes = body.clone();
    if let Some(changes) = changes.as_object_mut() {
        changes.remove("apiVersion");
        changes.remove("kind");
        changes.remove("status");
        if let Some(metadata) = changes.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|key, _| matches!(key.as_str(), "labels" | "annotations"));
        }
    }
    changes
}
