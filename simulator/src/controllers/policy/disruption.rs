//! PodDisruptionBudgets: how many of their pods may go right now.

use crate::controllers::context::Cx;
use crate::controllers::objects::{
    Key, about, controller_of, int_or_percent, is_terminating, key_of, namespace_of, number, text,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::controllers::workloads::pods;
use crate::schema::builtin::{DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS, STATEFUL_SETS};
use crate::server::{Event, LabelSelector, Object, Status};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An eviction that was allowed and whose pod is still there after this time is forgotten.
const CONFIRMATION: Duration = Duration::from_secs(120);

/// The disruption controller, with the budgets of each namespace.
#[derive(Default)]
pub(crate) struct Disruption {
    budgets: BTreeMap<String, BTreeMap<String, LabelSelector>>,
}

impl Controller for Disruption {
    type Key = Key;

    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Key>) {
        let object = event.object();
        let (namespace, name) = key_of(object);
        if about(event, &POD_DISRUPTION_BUDGETS) {
            let budgets = self.budgets.entry(namespace.clone()).or_default();
            match &event.new {
                Some(budget) => {
                    budgets.insert(name.clone(), LabelSelector::from_object(&budget["spec"]["selector"]))
                }
                None => budgets.remove(&name),
            };
            queue.add((namespace, name));
        } else if about(event, &PODS) {
            let Some(budgets) = self.budgets.get(&namespace) else { return };
            for pod in [&event.old, &event.new].into_iter().flatten() {
                let selecting = budgets.iter().filter(|(_, s)| s.matches(&pod["metadata"]["labels"]));
                selecting.for_each(|(budget, _)| queue.add((namespace.clone(), budget.clone())));
            }
        } else if [&DEPLOYMENTS, &REPLICA_SETS, &STATEFUL_SETS].iter().any(|kind| about(event, kind)) {
            let scaled = match (&event.old, &event.new) {
                (Some(old), Some(new)) => old["spec"]["replicas"] != new["spec"]["replicas"],
                _ => true,
            };
            let budgets = self.budgets.get(&namespace).filter(|_| scaled);
            budgets
                .into_iter()
                .flatten()
                .for_each(|(budget, _)| queue.add((namespace.clone(), budget.clone())));
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, queue: &mut Queue<Key>) -> Result<(), Status> {
        let Some(budget) = cx.get(&POD_DISRUPTION_BUDGETS, &key.0, &key.1) else { return Ok(()) };
        let selector = LabelSelector::from_object(&budget["spec"]["selector"]);
        let selected: Vec<Object> = cx
            .direct
            .list(&PODS, Some(&key.0))
            .into_iter()
            .filter(|pod| selector.matches(&pod["metadata"]["labels"]) && !pods::is_finished(pod))
            .collect();
        let (disrupted, next) = unconfirmed(cx, &budget, &selected);
        let status = status(cx, &budget, &selected, &disrupted);
        cx.set_status(&POD_DISRUPTION_BUDGETS, &budget, status)?;
        if let Some(wait) = next {
            queue.add_after(key.clone(), wait);
        }
        Ok(())
    }
}

/// Evictions that were allowed and are not seen yet, and when the first of them is given up.
fn unconfirmed(cx: &Cx, budget: &Value, selected: &[Object]) -> (Map<String, Value>, Option<Duration>) {
    let mut kept = Map::new();
    let mut next: Option<Duration> = None;
    for (name, at) in budget["status"]["disruptedPods"].as_object().into_iter().flatten() {
        let there =
            selected.iter().any(|pod| pod["metadata"]["name"] == name.as_str() && !is_terminating(pod));
        let Some(left) = cx.until(at.as_str().unwrap_or_default(), CONFIRMATION).filter(|_| there) else {
            continue;
        };
        next = Some(next.map_or(left, |earlier| earlier.min(left)));
        kept.insert(name.clone(), at.clone());
    }
    (kept, next)
}

fn status(cx: &Cx, budget: &Value, selected: &[Object], disrupted: &Map<String, Value>) -> Value {
    let healthy = selected.iter().filter(|pod| {
        pods::is_ready(pod) && !is_terminating(pod) && !disrupted.contains_key(text(pod, "/metadata/name"))
    });
    let current = i64::try_from(healthy.count()).unwrap_or(i64::MAX);
    let (expected, desired) = demand(cx, budget, selected);
    let allowed = if expected == 0 { 0 } else { (current - desired).max(0) };
    let mut status = json!({
        "currentHealthy": current, "desiredHealthy": desired, "disruptionsAllowed": allowed,
        "expectedPods": expected, "observedGeneration": budget["metadata"]["generation"],
    });
    if !disrupted.is_empty() {
        status["disruptedPods"] = Value::Object(disrupted.clone());
    }
    let mut conditions = crate::controllers::objects::conditions_of(budget);
    let condition = json!({
        "type": "DisruptionAllowed",
        "status": if allowed > 0 { "True" } else { "False" },
        "reason": if allowed > 0 { "SufficientPods" } else { "InsufficientPods" },
        "message": "", "observedGeneration": budget["metadata"]["generation"],
    });
    crate::controllers::objects::set_condition(&mut conditions, condition, &cx.stamp());
    status["conditions"] = Value::Array(conditions);
    status
}

/// How many pods there should be, and how many of them must stay healthy.
fn demand(cx: &Cx, budget: &Value, selected: &[Object]) -> (i64, i64) {
    let there = i64::try_from(selected.len()).unwrap_or(i64::MAX);
    let (min, max) = (&budget["spec"]["minAvailable"], &budget["spec"]["maxUnavailable"]);
    if let Some(absolute) = min.as_i64() {
        return (there, absolute);
    }
    let expected = scale(cx, selected);
    if !max.is_null() {
        return (expected, (expected - int_or_percent(max, expected, true).unwrap_or(0)).max(0));
    }
    (expected, int_or_percent(min, expected, true).unwrap_or(1))
}

/// What the owners of the pods want, summed.
fn scale(cx: &Cx, selected: &[Object]) -> i64 {
    let mut owners = BTreeSet::new();
    let mut total = 0;
    for pod in selected {
        let Some(owner) = controller_of(pod) else { continue };
        let (kind, name) = (text(owner, "/kind"), text(owner, "/name"));
        let resource = match kind {
            "ReplicaSet" => &REPLICA_SETS,
            "StatefulSet" => &STATEFUL_SETS,
            _ => continue,
        };
        let Some(set) = cx.get(resource, namespace_of(pod), name) else { continue };
        // A rollout's ReplicaSets share what their Deployment wants.
        let above = controller_of(&set).filter(|owner| owner["kind"] == "Deployment");
        let (key, object) =
            match above.and_then(|d| cx.get(&DEPLOYMENTS, namespace_of(pod), text(d, "/name"))) {
                Some(deployment) => (text(&deployment, "/metadata/uid").to_owned(), deployment),
                None => (text(&set, "/metadata/uid").to_owned(), set),
            };
        if owners.insert(key) {
            total += number(&object, "/spec/replicas", 1);
        }
    }
    total
}
