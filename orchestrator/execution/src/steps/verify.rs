//! The whole cluster, looked at once more.

use super::Step;
use super::support::{items, name_of, not_ready, text};
use crate::api::path;
use crate::engine::{StepContext, StepError};
use crate::guards::Guard;
use async_trait::async_trait;
use ipnet::IpNet;
use replank_planning::late::NodeRef;
use replank_planning::plan::action::Verify;
use replank_planning::waiting::Waiting;
use replank_provider_protocol::verbs::ListParams;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// How often the whole cluster is looked at while something is not as promised, and for how long: controllers
/// need a moment after the last change.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_mins(5);

/// See [`replank_planning::plan::Action::Verify`].
pub struct VerifyStep(pub Verify);

#[async_trait]
impl Step for VerifyStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let since = Instant::now();
        loop {
            let Some((object, difference)) = self.first_difference(cx).await? else { return Ok(Value::Null) };
            if since.elapsed() >= PATIENCE {
                return Err(StepError::changed(object, difference));
            }
            cx.waiting(Waiting::Retry { reason: format!("{object}: {difference}") })?;
            cx.sleep(LOOK_AGAIN).await?;
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

impl VerifyStep {
    async fn first_difference(&self, cx: &StepContext<'_>) -> Result<Option<(String, String)>, StepError> {
        if let Some(found) = self.nodes(cx).await? {
            return Ok(Some(found));
        }
        if let Some(found) = self.pods(cx).await? {
            return Ok(Some(found));
        }
        if cx.holds(Guard::Removal)
            && let Some(found) = self.leftovers(cx).await?
        {
            return Ok(Some(found));
        }
        if cx.holds(Guard::NoOrphan) && cx.holds(Guard::EffectOnce) {
            return self.machines(cx).await;
        }
        Ok(None)
    }

    async fn nodes(&self, cx: &StepContext<'_>) -> Result<Option<(String, String)>, StepError> {
        let nodes = cx.list("/api/v1/nodes", "").await?;
        for node in &nodes {
            let name = text(node, "/metadata/name");
            let what = || format!("Node {name}");
            if self.0.gone.iter().any(|gone| gone.as_str() == name)
                && cx.plan().slots.iter().any(|s| s.old.uid.as_str() == text(node, "/metadata/uid"))
            {
                return Ok(Some((what(), "it should be gone".into())));
            }
            let (has, wanted) = (items(node, "/spec/podCIDRs").len(), self.0.network.len());
            if has != wanted {
                return Ok(Some((what(), format!("it has {has} ranges, and the network has {wanted}"))));
            }
            for range in items(node, "/spec/podCIDRs").iter().filter_map(Value::as_str) {
                let inside =
                    range.parse::<IpNet>().is_ok_and(|r| self.0.network.iter().any(|n| n.contains(&r)));
                if !inside {
                    return Ok(Some((what(), format!("its range {range} is outside the new network"))));
                }
            }
        }
        for slot in &self.0.slots {
            let (name, uid) = cx.node(&NodeRef::New { slot: slot.clone() })?;
            let node = nodes.iter().find(|n| text(n, "/metadata/uid") == uid.as_str());
            let Some(node) = node else {
                return Ok(Some((format!("Node {name}"), "the replacement is gone".into())));
            };
            if let Some(reason) = not_ready(node) {
                return Ok(Some((format!("Node {name}"), format!("it is not ready: {reason}"))));
            }
        }
        Ok(None)
    }

    async fn pods(&self, cx: &StepContext<'_>) -> Result<Option<(String, String)>, StepError> {
        for pod in cx.list("/api/v1/pods", &path::fields("status.phase=Running")).await? {
            if pod["spec"]["hostNetwork"] == true || pod.pointer("/metadata/deletionTimestamp").is_some() {
                continue;
            }
            for ip in items(&pod, "/status/podIPs") {
                let Ok(address) = text(ip, "/ip").parse::<IpAddr>() else { continue };
                if !self.0.network.iter().any(|n| n.contains(&address)) {
                    let difference = format!("its address {address} is outside the new network");
                    return Ok(Some((format!("Pod {}", name_of(&pod)), difference)));
                }
            }
        }
        Ok(None)
    }

    async fn leftovers(&self, cx: &StepContext<'_>) -> Result<Option<(String, String)>, StepError> {
        let left = || "it should be gone".to_owned();
        for kind in &self.0.removed_kinds {
            if let Some(first) = cx.list(&path::collection(kind, ""), "").await?.first() {
                return Ok(Some((format!("{} {}", kind.kind, name_of(first)), left())));
            }
        }
        for object in &self.0.removed_objects {
            if cx.find(&path::object(object)).await?.is_some() {
                return Ok(Some((object.to_string(), left())));
            }
        }
        Ok(None)
    }

    /// Machines of this run that no replacement is.
    async fn machines(&self, cx: &StepContext<'_>) -> Result<Option<(String, String)>, StepError> {
        let provider = &cx.running.world.provider;
        let params =
            ListParams { run: Some(cx.running.run.clone()), cluster: cx.running.cluster.to_string() };
        let listing = cx.provider_at_once("list machines", || provider.list(params.clone())).await?;
        let ours: BTreeSet<_> =
            cx.running.ledger.state(|s| s.slots.values().filter_map(|f| f.machine.clone()).collect());
        let stray = listing.machines.iter().find(|m| !ours.contains(&m.id));
        Ok(stray.map(|m| (format!("machine {}", m.id), "this run made it, and no replacement is it".into())))
    }
}
