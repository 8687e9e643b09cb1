//! Volumes that must leave a node before it stops.

use super::Step;
use super::support::{items, text};
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::plan::action::NodeAct;
use replank_planning::waiting::Waiting;
use serde_json::Value;
use std::collections::BTreeSet;

/// See [`replank_planning::plan::Action::DetachVolumes`].
pub struct DetachVolumesStep(pub NodeAct);

#[async_trait]
impl Step for DetachVolumesStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let (name, _) = cx.node(&self.0.node)?;
        let stay = volumes_in_use(cx, name.as_str()).await?;
        let mut attachments = cx.follow("/apis/storage.k8s.io/v1/volumeattachments", "").await?;
        loop {
            let left: Vec<String> = attachments
                .items()
                .filter(|a| text(a, "/spec/nodeName") == name.as_str())
                .filter(|a| !stay.contains(text(a, "/spec/source/persistentVolumeName")))
                .map(|a| text(a, "/metadata/name").to_owned())
                .collect();
            if left.is_empty() {
                return Ok(Value::Null);
            }
            cx.waiting(Waiting::VolumesAttached { node: name.clone(), attachments: left })?;
            cx.changed(&mut attachments).await?;
        }
    }

    async fn undo(
        &self,
        _cx: &StepContext<'_>,
        _before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}

/// Volumes of pods that stay on a drained node (those of DaemonSets): they are not waited for.
async fn volumes_in_use(cx: &StepContext<'_>, node: &str) -> Result<BTreeSet<String>, StepError> {
    let query = crate::api::path::fields(&format!("spec.nodeName={node}"));
    let mut volumes = BTreeSet::new();
    for pod in cx.list("/api/v1/pods", &query).await? {
        let namespace = text(&pod, "/metadata/namespace");
        for volume in items(&pod, "/spec/volumes") {
            let claim = text(volume, "/persistentVolumeClaim/claimName");
            if claim.is_empty() {
                continue;
            }
            let at = crate::api::path::core(namespace, "persistentvolumeclaims", claim);
            if let Some(claim) = cx.find(&at).await? {
                volumes.insert(text(&claim, "/spec/volumeName").to_owned());
            }
        }
    }
    Ok(volumes)
}
