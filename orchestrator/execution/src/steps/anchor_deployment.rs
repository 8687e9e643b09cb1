//! A Deployment, such as CoreDNS, that must have a foot on the new side before the old one is drained.

use super::Step;
use super::eviction::{self, Answer};
use super::support::{holds, items, name_of, pod_ready, rollout, text};
use crate::api::{Follow, path};
use crate::engine::edit::same_incarnation;
use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::plan::action::AnchorDeployment;
use replank_planning::waiting::{Refusal, Waiting};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// How many pods are sent away so that the next may find the new side. Who then still finds the old one is kept there
/// by something that sending away more of them does not change, such as a node selector.
const MOVES: u32 = 3;
/// After how long a pod that could not be sent away is asked again.
const AGAIN: Duration = Duration::from_secs(5);

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
        let gone = || StepError::changed(object, "it is gone");
        let name = path::fields(&format!("metadata.name={}", object.name));
        let mut itself = cx.follow(&path::collection(&object.kind, &object.namespace), &name).await?;
        let selector = {
            let there = itself.get(&object.namespace, &object.name).ok_or_else(gone)?;
            selector(&there["spec"]["selector"])
        };
        let pods = format!("/api/v1/namespaces/{}/pods", path::encode(&object.namespace));
        let mut pods = cx.follow(&pods, &path::labels(&selector)).await?;
        let mut nodes = cx.follow("/api/v1/nodes", "").await?;
        let mut moved = 0;
        loop {
            let on_new = |pod: &&Value| new_side.contains(text(pod, "/spec/nodeName"));
            if pods.items().filter(|pod| pod_ready(pod)).any(|pod| on_new(&pod)) {
                return Ok(());
            }
            let mut look_again = None;
            let rolling = rollout(itself.get(&object.namespace, &object.name).ok_or_else(gone)?, object);
            match rolling {
                Some(waiting) => cx.waiting(waiting)?,
                None => {
                    let open = nodes.items().filter(|n| new_side.contains(text(n, "/metadata/name")));
                    let free = moved < MOVES
                        && open.into_iter().any(takes_pods)
                        && !pods.items().any(|p| on_new(&p));
                    let youngest = if free { youngest(&pods) } else { None };
                    if let Some(pod) = youngest {
                        match send_away(cx, &pod).await? {
                            Moved::Yes => moved += 1,
                            Moved::NotYet(after) => look_again = Some(after),
                        }
                    }
                    let on_old = u32::try_from(pods.items().count()).unwrap_or(u32::MAX);
                    cx.waiting(Waiting::Foothold { object: object.clone(), on_old })?;
                }
            }
            let timer = async {
                match look_again {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = cx.changed(&mut pods) => changed?,
                changed = cx.changed(&mut nodes) => changed?,
                changed = cx.changed(&mut itself) => changed?,
                () = timer => {}
            }
        }
    }
}

/// What came of asking one pod to make room for another, elsewhere.
enum Moved {
    Yes,
    /// A budget or the server says not now; after this long it may have changed without a pod or a node changing.
    NotYet(Duration),
}

fn youngest(pods: &Follow) -> Option<Value> {
    let age = |pod: &&Value| (text(pod, "/metadata/creationTimestamp").to_owned(), name_of(pod));
    pods.items().max_by_key(age).cloned()
}

/// The pod that was added may have met a replacement that took no pods at that moment. It, the youngest, is sent away:
/// the next one finds the old side less liked.
async fn send_away(cx: &StepContext<'_>, pod: &Value) -> Result<Moved, StepError> {
    let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
    cx.permit().await?;
    match eviction::evict(&cx.api(), namespace, name, text(pod, "/metadata/uid"), None).await {
        Answer::Accepted => Ok(Moved::Yes),
        Answer::Blocked { .. } => Ok(Moved::NotYet(AGAIN)),
        Answer::Again { after, .. } => Ok(Moved::NotYet(after.max(AGAIN))),
        Answer::Refused(message) => Err(StepError::Refused(Refusal::Server {
            action: format!("evict Pod {}", name_of(pod)),
            message,
        })),
    }
}

/// Whether a node takes pods without a toleration of their own.
fn takes_pods(node: &Value) -> bool {
    let closed = |taint: &Value| ["NoSchedule", "NoExecute"].contains(&text(taint, "/effect"));
    holds(node, "Ready")
        && node["spec"]["unschedulable"] != true
        && !items(node, "/spec/taints").iter().any(closed)
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
