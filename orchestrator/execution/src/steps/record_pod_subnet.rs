//! kubeadm's `podSubnet`.

use super::{Step, kubeadm_config};
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::plan::action::RecordPodSubnet;
use serde_json::{Value, json};

/// See [`replank_planning::plan::Action::RecordPodSubnet`].
pub struct RecordPodSubnetStep(pub RecordPodSubnet);

#[async_trait]
impl Step for RecordPodSubnetStep {
    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let map = cx
            .find(&kubeadm_config::place())
            .await?
            .ok_or_else(|| StepError::changed("ConfigMap kube-system/kubeadm-config", "it is gone"))?;
        Ok(kubeadm_config::parse(&map)?["networking"]["podSubnet"].clone())
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let cidrs: Vec<String> = self.0.cidrs.iter().map(ToString::to_string).collect();
        put(cx, json!(cidrs.join(","))).await?;
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        put(cx, before.clone()).await
    }
}

async fn put(cx: &StepContext<'_>, subnet: Value) -> Result<(), StepError> {
    kubeadm_config::edit(cx, |configuration| {
        if !configuration["networking"].is_object() {
            configuration["networking"] = json!({});
        }
        if let Some(networking) = configuration["networking"].as_object_mut() {
            if subnet.is_null() {
                networking.remove("podSubnet");
            } else {
                networking.insert("podSubnet".into(), subnet.clone());
            }
        }
    })
    .await
}
