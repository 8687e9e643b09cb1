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
        kubeadm_config::capture(cx).await
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let subnet = self.subnet();
        kubeadm_config::edit(cx, |configuration| set(configuration, &subnet)).await?;
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let subnet = self.subnet();
        let change = |configuration: &mut Value| set(configuration, &subnet);
        kubeadm_config::put_back(cx, before, change, |now, was| set(now, &was["networking"]["podSubnet"]))
            .await
    }
}

impl RecordPodSubnetStep {
    fn subnet(&self) -> Value {
        let cidrs: Vec<String> = self.0.cidrs.iter().map(ToString::to_string).collect();
        json!(cidrs.join(","))
    }
}

fn set(configuration: &mut Value, subnet: &Value) {
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
}
