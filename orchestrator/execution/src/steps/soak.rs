//! A while in which the first replacement is watched.

use super::Step;
use super::support::not_ready;
use crate::api::path;
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::late::NodeRef;
use replank_planning::plan::action::Soak;
use replank_planning::waiting::Waiting;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// See [`replank_planning::plan::Action::Soak`].
pub struct SoakStep(pub Soak);

#[async_trait]
impl Step for SoakStep {
    fn has_deadline(&self) -> bool {
        true
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let (name, _) = cx.node(&NodeRef::New { slot: self.0.slot.clone() })?;
        let until = Instant::now() + Duration::from_secs(self.0.seconds);
        let query = path::fields(&format!("metadata.name={name}"));
        let mut nodes = cx.follow("/api/v1/nodes", &query).await?;
        cx.waiting(Waiting::Soak { node: name.clone(), seconds: self.0.seconds })?;
        loop {
            let node = nodes
                .get("", name.as_str())
                .ok_or_else(|| StepError::changed(format!("Node {name}"), "it went while it was watched"))?;
            if let Some(reason) = not_ready(node) {
                return Err(StepError::changed(
                    format!("Node {name}"),
                    format!("it stopped being ready while it was watched: {reason}"),
                ));
            }
            tokio::select! {
                biased;
                changed = cx.changed(&mut nodes) => changed?,
                () = tokio::time::sleep_until(until) => return Ok(Value::Null),
            }
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
