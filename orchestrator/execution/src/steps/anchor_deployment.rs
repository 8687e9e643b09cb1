//! A Deployment, such as CoreDNS, that must have a foot on the new side before the old one is drained.

use super::Step;
use super::support::{items, pod_ready, rollout, text};
use crate::api::path;
use crate::engine::edit::same_incarnation;
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::plan::action::AnchorDeployment;
use replank_planning::waiting::Waiting;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// See [`replank_planning::plan::Action::AnchorDeployment`].
pub struct AnchorDeploymentStep(pub AnchorDeployment);

#[async_trait]
impl Step for AnchorDeploymentStep {
    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        let what = &self.0.deployment;
        let there = cx
            .find(&path::object(&what.object))
            .await?
            .ok_or_else(|| StepError::changed(&what.object, "it is gone"))?;
        same_incarnation(&what.object.to_string(), &there, Some(&what.uid))?;
        Ok(json!({"replicas": there["spec"]["replicas"].as_u64().unwrap_or(1)}))
    }

    async fn apply(&self, cx: &StepContext<'_>, before: &Value) -> Result<Value, StepError> {
        let was = before["replicas"].as_u64().unwrap_or(1);
        let wanted = u64::from(self.0.replicas).max(was);
        self.scale(cx, wanted).await?;
        self.anchored(cx).await?;
        Ok(json!({"replicas": wanted}))
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        self.scale(cx, before["replicas"].as_u64().unwrap_or(1)).await
    }
}

impl AnchorDeploymentStep {
    async fn scale(&self, cx: &StepContext<'_>, replicas: u64) -> Result<(), StepError> {
        let what = &self.0.deployment;
        cx.edit(&path::object(&what.object), Some(&what.uid), |there| {
            Ok((there["spec"]["replicas"] != replicas).then(|| json!({"spec": {"replicas": replicas}})))
        })
        .await
        .map(drop)
    }

    /// Waits until one pod is ready on an admitted replacement; on any node while there is none.
    async fn anchored(&self, cx: &StepContext<'_>) -> Result<(), StepError> {
        let object = &self.0.deployment.object;
        let new_side: BTreeSet<String> = cx.running.ledger.state(|s| {
            s.slots.values().filter_map(|f| f.node.as_ref()).map(|(name, _)| name.to_string()).collect()
        });
        if new_side.is_empty() {
            return super::patch_objects::rolled_out(cx, object).await;
        }
        let there =
            cx.find(&path::object(object)).await?.ok_or_else(|| StepError::changed(object, "it is gone"))?;
        let selector = selector(&there["spec"]["selector"]);
        let pods = format!("/api/v1/namespaces/{}/pods", path::encode(&object.namespace));
        let mut pods = cx.follow(&pods, &path::labels(&selector)).await?;
        loop {
            let on_new = |pod: &&Value| pod_ready(pod) && new_side.contains(text(pod, "/spec/nodeName"));
            let ready = pods.items().filter(on_new).count();
            if ready > 0 {
                return Ok(());
            }
            let now = cx.find(&path::object(object)).await?.unwrap_or_default();
            let waiting = rollout(&now, object).unwrap_or(Waiting::Rollout {
                object: object.clone(),
                node: None,
                ready: 0,
                wanted: 1,
            });
            cx.waiting(waiting)?;
            cx.changed(&mut pods).await?;
        }
    }
}

/// A label selector object as a query's text.
pub fn selector(selector: &Value) -> String {
    let mut parts: Vec<String> = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in items(selector, "/matchExpressions") {
        let key = text(expression, "/key");
        let values: Vec<&str> = items(expression, "/values").iter().filter_map(Value::as_str).collect();
        parts.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.join(",")
}
