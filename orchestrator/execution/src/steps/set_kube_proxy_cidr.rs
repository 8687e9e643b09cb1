//! kube-proxy's clusterCIDR, and its pods rolled.

use super::Step;
use super::patch_objects::rolled_out;
use super::support::text;
use crate::api::path;
use crate::clock::seconds;
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::plan::action::SetKubeProxyCidr;
use replank_planning::yaml;
use serde_json::{Value, json};

/// What kubectl writes when it restarts a rollout; one annotation for both keeps the history readable.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
/// The key of the ConfigMap.
const KEY: &str = "config.conf";

/// See [`replank_planning::plan::Action::SetKubeProxyCidr`].
pub struct SetKubeProxyCidrStep(pub SetKubeProxyCidr);

#[async_trait]
impl Step for SetKubeProxyCidrStep {
    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let what = &self.0.config.object;
        let map =
            cx.find(&path::object(what)).await?.ok_or_else(|| StepError::changed(what, "it is gone"))?;
        Ok(json!({
            "clusterCIDR": self.parse(&map)?["clusterCIDR"],
            // The rollout's mark is chosen once, so that a second try does not roll again.
            "restartedAt": seconds(cx.running.world.clock.now()),
        }))
    }

    async fn apply(&self, cx: &StepContext<'_>, before: &Value) -> Result<Value, StepError> {
        let cidrs: Vec<String> = self.0.cidrs.iter().map(ToString::to_string).collect();
        self.put(cx, &json!(cidrs.join(",")), text(before, "/restartedAt")).await?;
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let mark = format!("{}-undone", text(before, "/restartedAt"));
        self.put(cx, &before["clusterCIDR"], &mark).await
    }
}

impl SetKubeProxyCidrStep {
    fn parse(&self, map: &Value) -> Result<Value, StepError> {
        let what = &self.0.config.object;
        yaml::read(map["data"][KEY].as_str().unwrap_or_default())
            .map_err(|e| StepError::changed(what, format!("its {KEY} is not YAML: {e}")))
    }

    async fn put(&self, cx: &StepContext<'_>, cidr: &Value, mark: &str) -> Result<(), StepError> {
        let config = &self.0.config;
        cx.edit(&path::object(&config.object), Some(&config.uid), |map| {
            let mut document = self.parse(map)?;
            if document["clusterCIDR"] == *cidr {
                return Ok(None);
            }
            document["clusterCIDR"] = cidr.clone();
            let document = yaml::write(&document).map_err(|e| {
                StepError::Failed(format!("kube-proxy's configuration can't be written: {e}"))
            })?;
            Ok(Some(json!({"data": {KEY: document}})))
        })
        .await?;
        let Some(daemon_set) = &self.0.daemon_set else { return Ok(()) };
        let pointer = format!("/spec/template/metadata/annotations/{}", RESTARTED.replace('/', "~1"));
        cx.edit(&path::object(&daemon_set.object), Some(&daemon_set.uid), |there| {
            Ok((text(there, &pointer) != mark)
                .then(|| json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED: mark}}}}})))
        })
        .await?;
        rolled_out(cx, &daemon_set.object).await
    }
}
