//! A node that no new pod comes to.

use super::Step;
use crate::api::path;
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::plan::action::NodeAct;
use serde_json::{Value, json};

/// See [`replank_planning::plan::Action::Cordon`].
pub struct CordonStep(pub NodeAct);

#[async_trait]
impl Step for CordonStep {
    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let (name, _) = cx.node(&self.0.node)?;
        let node = cx.find(&path::node(name.as_str())).await?.unwrap_or_default();
        Ok(json!({"cordoned": node["spec"]["unschedulable"] == true}))
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let (name, uid) = cx.node(&self.0.node)?;
        cx.edit(&path::node(name.as_str()), Some(&uid), |node| {
            Ok((node["spec"]["unschedulable"] != true).then(|| json!({"spec": {"unschedulable": true}})))
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
        if before["cordoned"] == true {
            return Ok(());
        }
        let (name, _) = cx.node(&self.0.node)?;
        cx.edit(&path::node(name.as_str()), None, |node| {
            Ok((node["spec"]["unschedulable"] == true).then(|| json!({"spec": {"unschedulable": null}})))
        })
        .await
        .map(drop)
    }
}
