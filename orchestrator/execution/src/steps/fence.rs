//! The fence: taints that send new pods to the new side.

use super::Step;
use super::support::{LEAVING, encode, items, same_taint, text};
use crate::api::path;
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::plan::action::{ExpectedPending, Fence, FenceStrength};
use replank_planning::waiting::Waiting;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// See [`replank_planning::plan::Action::Fence`].
pub struct FenceStep(pub Fence);

#[async_trait]
impl Step for FenceStep {
    async fn check(&self, cx: &StepContext<'_>) -> Result<(), StepError> {
        if self.0.strength == FenceStrength::Prefer {
            return Ok(());
        }
        let mut pods = cx.follow("/api/v1/pods", &path::fields("status.phase=Pending")).await?;
        loop {
            let unexpected = pods.items().filter(|pod| !is_expected(pod, &self.0.expected));
            let unschedulable: Vec<String> = unexpected.filter_map(unschedulable).collect();
            let Some(example) = unschedulable.first() else { return Ok(()) };
            let count = u32::try_from(unschedulable.len()).unwrap_or(u32::MAX);
            cx.waiting(Waiting::PodsPending { count, example: example.clone() })?;
            cx.changed(&mut pods).await?;
        }
    }

    async fn capture(&self, cx: &StepContext<'_>) -> Result<Value, StepError> {
        // Nodes that carried our taint before are left with it.
        let mut fenced = BTreeSet::new();
        for node in &self.0.nodes {
            let (name, _) = cx.node(node)?;
            let there = cx.find(&path::node(name.as_str())).await?.unwrap_or_default();
            let taint = self.taint();
            if items(&there, "/spec/taints").iter().any(|t| same_taint(t, &taint)) {
                fenced.insert(name);
            }
        }
        encode(&fenced)
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let taint = self.taint();
        for node in &self.0.nodes {
            let (name, uid) = cx.node(node)?;
            let at = path::node(name.as_str());
            // A node that is gone by now needs no fence.
            match cx.find(&at).await? {
                Some(there) if text(&there, "/metadata/uid") == uid.as_str() => {}
                _ => continue,
            }
            cx.edit(&at, Some(&uid), |there| {
                let taints = items(there, "/spec/taints");
                if taints.iter().any(|t| same_taint(t, &taint)) {
                    return Ok(None);
                }
                let mut next = taints.to_vec();
                next.push(taint.clone());
                Ok(Some(json!({"spec": {"taints": next}})))
            })
            .await?;
        }
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let fenced: BTreeSet<String> = super::support::decode(before)?;
        let taint = self.taint();
        for node in &self.0.nodes {
            let (name, uid) = cx.node(node)?;
            let at = path::node(name.as_str());
            if fenced.contains(name.as_str()) || cx.find(&at).await?.is_none() {
                continue;
            }
            // A Node that rollback made again has another uid, and our taint with it.
            let _ = uid;
            without_taint(cx, &at, &taint).await?;
        }
        Ok(())
    }
}

impl FenceStep {
    fn taint(&self) -> Value {
        let effect = match self.0.strength {
            FenceStrength::Prefer => "PreferNoSchedule",
            FenceStrength::Forbid => "NoSchedule",
        };
        json!({"key": LEAVING, "effect": effect})
    }
}

/// Takes a taint off a Node.
///
/// # Errors
/// When the server refuses.
pub async fn without_taint(cx: &StepContext<'_>, at: &str, taint: &Value) -> Result<(), StepError> {
    cx.edit(at, None, |there| {
        let taints = items(there, "/spec/taints");
        let next: Vec<&Value> = taints.iter().filter(|t| !same_taint(t, taint)).collect();
        Ok((next.len() != taints.len()).then(|| json!({"spec": {"taints": next}})))
    })
    .await
    .map(drop)
}

/// Whether a pod was pending before the run, or is kept so by a claim that was given up by consent: no
/// replacement ever has room for it.
fn is_expected(pod: &Value, expected: &ExpectedPending) -> bool {
    let namespace = text(pod, "/metadata/namespace");
    let mut claims = items(pod, "/spec/volumes").iter().map(|v| text(v, "/persistentVolumeClaim/claimName"));
    expected.pods.contains(&super::support::name_of(pod))
        || claims.any(|claim| expected.claims.contains(&format!("{namespace}/{claim}")))
}

/// A pending pod with the scheduler's sentence, if the scheduler found no room for it.
pub fn unschedulable(pod: &Value) -> Option<String> {
    let scheduled = super::support::condition(pod, "PodScheduled")?;
    (scheduled["status"] == "False" && scheduled["reason"] == "Unschedulable")
        .then(|| format!("{}: {}", super::support::name_of(pod), text(scheduled, "/message")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_run_made_pending_holds_up_the_fence() {
        let expected = ExpectedPending {
            pods: BTreeSet::from(["lab/gpu".to_owned()]),
            claims: BTreeSet::from(["shop/data".to_owned()]),
        };
        let pod = |namespace: &str, name: &str, claim: &str| {
            json!({
                "metadata": {"namespace": namespace, "name": name},
                "spec": {"volumes": [{"persistentVolumeClaim": {"claimName": claim}}]},
            })
        };
        assert!(is_expected(&pod("lab", "gpu", "other"), &expected), "pending before the run");
        assert!(is_expected(&pod("shop", "db-x7", "data"), &expected), "its claim was given up");
        assert!(!is_expected(&pod("lab", "db", "data"), &expected), "another namespace's claim");
        assert!(!is_expected(&pod("shop", "web", "other"), &expected));
    }
}
