//! PodDisruptionBudgets: how many of their pods may go right now.

use super::context::Cx;
use super::objects::{
    Key, about, conditions_of, controller_of, int_or_percent, key_of, name_of, namespace_of, number,
    set_condition, text,
};
use super::queue::Queue;
use super::runtime::Controller;
use super::selected::Selected;
use super::workloads::pods;
use crate::schema::builtin::{DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS, STATEFUL_SETS};
use crate::server::{Event, LabelSelector, Object, Status};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// An eviction that was allowed and whose pod is still there after this time is forgotten.
const CONFIRMATION: Duration = Duration::from_secs(120);

/// The disruption controller.
#[derive(Default)]
pub(super) struct Disruption {
    selected: Selected,
}

impl Controller for Disruption {
    type Key = Key;

    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Key>) {
        if about(event, &POD_DISRUPTION_BUDGETS) {
            let key = key_of(event.object());
            let selector =
                event.new.as_ref().map(|budget| LabelSelector::from_object(&budget["spec"]["selector"]));
            self.selected.set_owner(&key, selector);
            queue.add(key);
        } else if about(event, &PODS) {
            queue.add_all(self.selected.notice_pod(event));
        } else if [&DEPLOYMENTS, &REPLICA_SETS, &STATEFUL_SETS].iter().any(|kind| about(event, kind)) {
            let replicas = |object: &Object| object["spec"]["replicas"].clone();
            if event.old.as_ref().map(replicas) != event.new.as_ref().map(replicas) {
                queue.add_all(self.selected.owners(namespace_of(event.object())));
            }
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, queue: &mut Queue<Key>) -> Result<(), Status> {
        let Some(budget) = cx.get(&POD_DISRUPTION_BUDGETS, &key.0, &key.1) else { return Ok(()) };
        let selected = self.selected.pods(cx, key);
        let (expected, desired) = match demand(cx, &budget, &selected) {
            Ok(demand) => demand,
            Err(why) => return fail(cx, &budget, &why),
        };
        let (disrupted, next) = unconfirmed(cx, &budget, &selected);
        if let Some(wait) = next {
            queue.add_after(key.clone(), wait);
        }
        let healthy = selected.iter().filter(|pod| {
            pods::is_ready(pod) && !pod.pod().terminating && !disrupted.contains_key(name_of(pod))
        });
        let current = i64::try_from(healthy.count()).unwrap_or(i64::MAX);
        let allowed = if expected == 0 { 0 } else { (current - desired).max(0) };
        let mut status = json!({
            "currentHealthy": current, "desiredHealthy": desired, "disruptionsAllowed": allowed,
            "expectedPods": expected, "observedGeneration": budget["metadata"]["generation"],
        });
        if !disrupted.is_empty() {
            status["disruptedPods"] = Value::Object(disrupted);
        }
        let (state, reason) =
            if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        status["conditions"] = conditions(cx, &budget, state, reason, "");
        cx.set_status(&POD_DISRUPTION_BUDGETS, &budget, status)
    }
}

fn conditions(cx: &Cx, budget: &Value, status: &str, reason: &str, message: &str) -> Value {
    let mut conditions = conditions_of(budget);
    let condition =
        json!({"type": "DisruptionAllowed", "status": status, "reason": reason, "message": message});
    set_condition(&mut conditions, condition, &cx.stamp());
    for condition in &mut conditions {
        condition["observedGeneration"] = budget["metadata"]["generation"].clone();
    }
    Value::Array(conditions)
}

/// Nobody may go while it is unknown how many there should be.
fn fail(cx: &Cx, budget: &Value, why: &str) -> Result<(), Status> {
    let mut status = budget["status"].clone();
    status["disruptionsAllowed"] = json!(0);
    status["observedGeneration"] = budget["metadata"]["generation"].clone();
    for field in ["currentHealthy", "desiredHealthy", "expectedPods"] {
        if status[field].is_null() {
            status[field] = json!(0);
        }
    }
    status["conditions"] = conditions(cx, budget, "False", "SyncFailed", why);
    cx.tell(budget, "Warning", "CalculateExpectedPodCountFailed", why);
    cx.set_status(&POD_DISRUPTION_BUDGETS, budget, status)
}

/// Evictions that were allowed and are not seen yet, and when the first of them is given up.
fn unconfirmed(cx: &Cx, budget: &Value, selected: &[Object]) -> (Map<String, Value>, Option<Duration>) {
    let mut kept = Map::new();
    let mut next: Option<Duration> = None;
    for (name, at) in budget["status"]["disruptedPods"].as_object().into_iter().flatten() {
        let there = selected.iter().any(|pod| name_of(pod) == name && !pod.pod().terminating);
        let Some(left) = cx.until(at.as_str().unwrap_or_default(), CONFIRMATION).filter(|_| there) else {
            continue;
        };
        next = Some(next.map_or(left, |earlier| earlier.min(left)));
        kept.insert(name.clone(), at.clone());
    }
    (kept, next)
}

/// How many pods there should be, and how many of them must stay healthy.
fn demand(cx: &Cx, budget: &Value, selected: &[Object]) -> Result<(i64, i64), String> {
    let (min, max) = (&budget["spec"]["minAvailable"], &budget["spec"]["maxUnavailable"]);
    if !max.is_null() {
        let expected = scale(cx, selected)?;
        let gone = int_or_percent(max, expected, true).unwrap_or(0);
        return Ok((expected, (expected - gone).max(0)));
    }
    if let Some(absolute) = min.as_i64() {
        return Ok((i64::try_from(selected.len()).unwrap_or(i64::MAX), absolute));
    }
    let expected = scale(cx, selected)?;
    Ok((expected, int_or_percent(min, expected, true).unwrap_or(1)))
}

/// What the owners of the pods want, summed. A pod without an owner counts for nothing; an owner
/// that has no scale makes the sum unknown.
fn scale(cx: &Cx, selected: &[Object]) -> Result<i64, String> {
    let mut owners = BTreeSet::new();
    let mut total = 0;
    for pod in selected {
        let Some(owner) = controller_of(pod) else { continue };
        let unknown = || format!("found no controllers for pod \"{}\"", name_of(pod));
        let (uid, replicas) = wanted(cx, namespace_of(pod), owner).ok_or_else(unknown)?;
        if owners.insert(uid) {
            total = replicas.saturating_add(total);
        }
    }
    Ok(total)
}

/// The owner that decides, and how many pods it wants.
fn wanted(cx: &Cx, namespace: &str, owner: &Value) -> Option<(String, i64)> {
    let kind = text(owner, "/kind");
    if ["DaemonSet", "Job"].contains(&kind) {
        return None;
    }
    let resource = cx.direct.resource(text(owner, "/apiVersion"), kind)?;
    let object = cx.get(&resource, namespace, text(owner, "/name"))?;
    // A rollout's ReplicaSets share what their Deployment wants.
    if let Some(above) = controller_of(&object).filter(|above| above["kind"] == "Deployment")
        && let Some(deployment) = cx.get(&DEPLOYMENTS, namespace, text(above, "/name"))
    {
        return Some((text(above, "/uid").to_owned(), number(&deployment, "/spec/replicas", 1)));
    }
    let replicas = cx.direct.wanted_replicas(&resource, namespace, text(owner, "/name"))?;
    Some((text(owner, "/uid").to_owned(), replicas))
}
