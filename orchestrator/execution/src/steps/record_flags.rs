//! Controller-manager flags in kubeadm's record.

use super::support::{decode, encode};
use super::{Step, kubeadm_config};
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::plan::action::RecordFlags;
use serde_json::Value;
use std::collections::BTreeMap;

/// See [`replank_planning::plan::Action::RecordControllerManagerFlags`].
pub struct RecordFlagsStep(pub RecordFlags);

type Before = BTreeMap<String, Option<String>>;

#[async_trait]
impl Step for RecordFlagsStep {
    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let map = cx
            .find(&kubeadm_config::place())
            .await?
            .ok_or_else(|| StepError::changed("ConfigMap kube-system/kubeadm-config", "it is gone"))?;
        let configuration = kubeadm_config::parse(&map)?;
        let names = self.0.set.keys().chain(&self.0.remove);
        let before: Before =
            names.map(|n| (n.clone(), kubeadm_config::argument(&configuration, n))).collect();
        encode(&before)
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        kubeadm_config::edit(cx, |configuration| {
            for (name, value) in &self.0.set {
                kubeadm_config::set_argument(configuration, name, Some(value));
            }
            for name in &self.0.remove {
                kubeadm_config::set_argument(configuration, name, None);
            }
        })
        .await?;
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let before: Before = decode(before)?;
        kubeadm_config::edit(cx, |configuration| {
            for (name, value) in &before {
                kubeadm_config::set_argument(configuration, name, value.as_deref());
            }
        })
        .await
    }
}
