//! NetworkUnavailable, set to False where nothing else would.

use super::Step;
use super::support::{condition, not_ready};
use crate::api::{PatchKind, path};
use crate::clock::seconds;
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::plan::action::RepairNetworkCondition;
use serde_json::{Value, json};

/// See [`replank_planning::plan::Action::RepairNetworkCondition`].
pub struct RepairNetworkConditionStep(pub RepairNetworkCondition);

#[async_trait]
impl Step for RepairNetworkConditionStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let mut repaired = Vec::new();
        for node in &self.0.nodes {
            let (name, uid) = cx.node(node)?;
            let at = path::node(name.as_str());
            let Some(there) = cx.find(&at).await? else { continue };
            let unavailable = condition(&there, "NetworkUnavailable").is_some_and(|c| c["status"] != "False");
            // A node that is not ready may well have no network: that is for someone to look at.
            if !unavailable || not_ready(&there).is_some() {
                continue;
            }
            let now = seconds(cx.running.world.clock.now());
            let patch = json!({"metadata": {"uid": uid}, "status": {"conditions": [{
                "type": "NetworkUnavailable", "status": "False", "reason": "FlannelIsUp",
                "message": "Flannel is running on this node", "lastTransitionTime": now, "lastHeartbeatTime": now,
            }]}});
            cx.patch(&format!("{at}/status"), PatchKind::Strategic, &patch)
                .await?
                .map_err(|e| StepError::server(format!("repair the condition of Node {name}"), &e))?;
            repaired.push(name);
        }
        super::support::encode(&repaired)
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
