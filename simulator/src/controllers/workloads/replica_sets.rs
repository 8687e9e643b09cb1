//! ReplicaSets: so many pods, no more and no fewer.

use super::orphans::Orphans;
use super::pods;
use crate::controllers::context::Cx;
use crate::controllers::objects::{
    Key, about, conditions_of, controller_of, counts, is_terminating, key_of, labels_of, namespace_of,
    number, set_condition, text, uid_of,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::{PODS, REPLICA_SETS};
use crate::server::{Event, Object, Status};
use serde_json::{Value, json};

/// Pods made or deleted in one go.
const BURST: usize = 500;

/// The ReplicaSet controller.
pub(crate) struct ReplicaSets {
    orphans: Orphans,
}

impl ReplicaSets {
    pub(crate) fn new() -> Self {
        Self { orphans: Orphans::new(PODS) }
    }
}

/// Notes the owners of this kind that an object has, or had.
pub(super) fn note_owner(event: &Event, kind: &str, queue: &mut Queue<Key>) {
    for object in [&event.old, &event.new].into_iter().flatten() {
        if let Some(owner) = controller_of(object).filter(|owner| owner["kind"] == kind) {
            queue.add((namespace_of(object).to_owned(), text(owner, "/name").to_owned()));
        }
    }
}

impl Controller for ReplicaSets {
    type Key = Key;

    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn notice(&mut self, cx: &Cx, event: &Event, queue: &mut Queue<Key>) {
        if about(event, &REPLICA_SETS) {
            queue.add(key_of(event.object()));
        } else if about(event, &PODS) {
            note_owner(event, "ReplicaSet", queue);
            if self.orphans.notice(event) {
                let keys = Orphans::would_adopt(cx, &REPLICA_SETS, event.object());
                queue.add_all(keys);
            }
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, queue: &mut Queue<Key>) -> Result<(), Status> {
        let Some(set) = cx.get(&REPLICA_SETS, &key.0, &key.1) else { return Ok(()) };
        self.orphans.adopt(cx, &REPLICA_SETS, &set)?;
        let before = cx.direct.revision();
        let mut all = pods::managed(cx, uid_of(&set));
        let active: Vec<Object> = all.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let outcome = if is_terminating(&set) { Ok(()) } else { manage(cx, &set, active) };
        if outcome.is_ok() && cx.direct.revision() != before {
            all = pods::managed(cx, uid_of(&set));
        }
        let (status, soonest) = status(cx, &set, &all, outcome.as_ref().err());
        cx.set_status(&REPLICA_SETS, &set, status)?;
        if let Some(wait) = soonest {
            queue.add_after(key.clone(), wait);
        }
        outcome
    }
}

/// Makes the pods that are missing, or deletes those that are too many.
fn manage(cx: &Cx, set: &Value, mut active: Vec<Object>) -> Result<(), Status> {
    let wanted = usize::try_from(number(set, "/spec/replicas", 1)).unwrap_or(0);
    if active.len() < wanted {
        let pod = pods::from_template(&set["spec"]["template"], &REPLICA_SETS, set);
        for _ in 0..(wanted - active.len()).min(BURST) {
            pods::create(cx, set, pod.clone())?;
        }
    } else if active.len() > wanted {
        let surplus = (active.len() - wanted).min(BURST);
        pods::sort_for_deletion(&mut active);
        for pod in &active[..surplus] {
            cx.delete(&PODS, pod)?;
        }
    }
    Ok(())
}

/// The status, and when a pod that is ready becomes available.
fn status(
    cx: &Cx,
    set: &Value,
    all: &[Object],
    failure: Option<&Status>,
) -> (Value, Option<std::time::Duration>) {
    let min_ready = number(set, "/spec/minReadySeconds", 0);
    let (mut replicas, mut labeled, mut ready, mut available) = (0, 0, 0, 0);
    let mut soonest = None;
    let wanted: Vec<(&String, &Value)> =
        set["spec"]["template"]["metadata"]["labels"].as_object().into_iter().flatten().collect();
    for pod in all {
        if !pods::is_active(pod) {
            continue;
        }
        replicas += 1;
        let labels = labels_of(pod).as_object();
        labeled +=
            i64::from(wanted.iter().all(|(key, value)| labels.and_then(|map| map.get(*key)) == Some(*value)));
        ready += i64::from(pods::is_ready(pod));
        match pods::availability(cx, pod, min_ready) {
            Ok(()) => available += 1,
            Err(Some(left)) => soonest = Some(soonest.map_or(left, |now: std::time::Duration| now.min(left))),
            Err(None) => {}
        }
    }
    let mut fields = counts(&[
        ("fullyLabeledReplicas", labeled),
        ("readyReplicas", ready),
        ("availableReplicas", available),
    ]);
    fields.insert("replicas".into(), json!(replicas));
    fields.insert("observedGeneration".into(), set["metadata"]["generation"].clone());
    let mut conditions = conditions_of(set);
    match failure {
        Some(status) => {
            let condition = json!({
                "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": status.message,
            });
            set_condition(&mut conditions, condition, &cx.stamp());
        }
        None => conditions.retain(|condition| condition["type"] != "ReplicaFailure"),
    }
    if !conditions.is_empty() {
        fields.insert("conditions".into(), Value::Array(conditions));
    }
    (Value::Object(fields), soonest)
}

/// How many pods a ReplicaSet should have, has, and has available.
pub(super) fn numbers(set: &Value) -> (i64, i64, i64) {
    (
        number(set, "/spec/replicas", 1),
        number(set, "/status/replicas", 0),
        number(set, "/status/availableReplicas", 0),
    )
}
