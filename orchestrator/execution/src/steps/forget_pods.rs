//! What the API still holds of pods whose machine stands still and whose Node is gone: the same machine joins again
//! under the same name, and its new kubelet would take them for its own.

use super::Step;
use super::gone::gone;
use super::support::text;
use crate::api::path;
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::object::{Kind, ObjectRef};
use replank_planning::plan::action::NodeAct;
use serde_json::{Value, json};

/// See [`replank_planning::plan::Action::ForgetPods`].
pub struct ForgetPodsStep(pub NodeAct);

#[async_trait]
impl Step for ForgetPodsStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let (name, _) = cx.node(&self.0.node)?;
        if cx.find(&path::node(name.as_str())).await?.is_some() {
            let difference = "it registered again, though its machine was stopped; stop its kubelet";
            return Err(StepError::changed(format!("Node {name}"), difference));
        }
        let on_it = path::fields(&format!("spec.nodeName={name}"));
        let pods = cx.list("/api/v1/pods", &on_it).await?;
        for pod in &pods {
            // Nobody is there to end it in its own time.
            cx.delete_at_once(&path::object(&reference(pod)), text(pod, "/metadata/uid")).await?;
        }
        for pod in &pods {
            let uid = text(pod, "/metadata/uid");
            gone(cx, &reference(pod), |now| text(now, "/metadata/uid") != uid).await?;
        }
        Ok(json!({"pods": pods.len()}))
    }

    /// Whoever owns them has made others by now.
    async fn undo(
        &self,
        _cx: &StepContext<'_>,
        _before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}

fn reference(pod: &Value) -> ObjectRef {
    let kind = Kind::namespaced("", "v1", "Pod", "pods");
    ObjectRef::new(kind, text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))
}
