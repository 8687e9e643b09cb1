//! Controller-manager flags in kubeadm's record.

use super::{Step, kubeadm_config};
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::plan::action::RecordFlags;
use serde_json::Value;

/// See [`replank_planning::plan::Action::RecordControllerManagerFlags`].
pub struct RecordFlagsStep(pub RecordFlags);

#[async_trait]
impl Step for RecordFlagsStep {
    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        kubeadm_config::capture(cx).await
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        kubeadm_config::edit(cx, |configuration| self.set(configuration)).await?;
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let change = |configuration: &mut Value| self.set(configuration);
        kubeadm_config::put_back(cx, before, change, |now, was| {
            for name in self.0.set.keys().chain(&self.0.remove) {
                let value = kubeadm_config::argument(was, name);
                kubeadm_config::set_argument(now, name, value.as_deref());
            }
        })
        .await
    }
}

impl RecordFlagsStep {
    fn set(&self, configuration: &mut Value) {
        for (name, value) in &self.0.set {
            kubeadm_config::set_argument(configuration, name, Some(value));
        }
        for name in &self.0.remove {
            kubeadm_config::set_argument(configuration, name, None);
        }
    }
}
