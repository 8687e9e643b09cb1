//! Deployments: one ReplicaSet per template, replicas moved from the old ones to the new one.

use super::deployment_rollout::{self as rollout, Sets};
use super::orphans::Orphans;
use super::pods;
use super::replica_sets::note_owner;
use crate::controllers::context::Cx;
use crate::controllers::objects::{
    Key, about, condition, conditions_of, counts, is_controlled_by, is_terminating, key_of, number,
    set_condition, text, uid_of,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::{DEPLOYMENTS, REPLICA_SETS};
use crate::server::{Event, Object, Status};
use serde_json::{Value, json};
use std::time::Duration;

/// The Deployment controller.
pub(crate) struct Deployments {
    orphans: Orphans,
}

impl Deployments {
    pub(crate) fn new() -> Self {
        Self { orphans: Orphans::new(REPLICA_SETS) }
    }
}

impl Controller for Deployments {
    type Key = Key;

    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn notice(&mut self, cx: &Cx, event: &Event, queue: &mut Queue<Key>) {
        if about(event, &DEPLOYMENTS) {
            queue.add(key_of(event.object()));
        } else if about(event, &REPLICA_SETS) {
            note_owner(event, "Deployment", queue);
            if self.orphans.notice(event) {
                let keys = Orphans::would_adopt(cx, &DEPLOYMENTS, event.object());
                queue.add_all(keys);
            }
        } else if event.new.is_none() && about(event, &crate::schema::builtin::PODS) {
            note_recreate(cx, event.object(), queue);
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, queue: &mut Queue<Key>) -> Result<(), Status> {
        let Some(deployment) = cx.get(&DEPLOYMENTS, &key.0, &key.1) else { return Ok(()) };
        self.orphans.adopt(cx, &DEPLOYMENTS, &deployment)?;
        let sets = owned_sets(cx, &deployment);
        if is_terminating(&deployment) {
            let sets = rollout::sort(&deployment, sets);
            return write_status(cx, &deployment, &sets, queue, key);
        }
        let sets = rollout::carry_on(cx, &deployment, sets)?;
        let Some(deployment) = cx.get(&DEPLOYMENTS, &key.0, &key.1) else { return Ok(()) };
        write_status(cx, &deployment, &sets, queue, key)
    }
}

/// A pod that is gone may be what a Recreate waits for.
fn note_recreate(cx: &Cx, pod: &Value, queue: &mut Queue<Key>) {
    let Some(owner) = super::pods::controller(pod, "ReplicaSet") else { return };
    let Some(set) = cx.get(&REPLICA_SETS, &key_of(pod).0, &owner) else { return };
    if let Some(name) = super::pods::controller(&set, "Deployment") {
        queue.add((key_of(pod).0, name));
    }
}

/// The ReplicaSets that a Deployment manages.
fn owned_sets(cx: &Cx, deployment: &Value) -> Vec<Object> {
    let uid = uid_of(deployment);
    let owned = cx.direct.owned_by(uid, &REPLICA_SETS).into_iter();
    owned.filter(|set| is_controlled_by(set, uid)).collect()
}

fn write_status(
    cx: &Cx,
    deployment: &Value,
    sets: &Sets,
    queue: &mut Queue<Key>,
    key: &Key,
) -> Result<(), Status> {
    let all = || sets.old.iter().chain(&sets.new);
    let sum = |field: &str| -> i64 { all().map(|set| number(set, field, 0)).sum() };
    let updated = sets.new.as_ref().map_or(0, |set| number(set, "/status/replicas", 0));
    let (total, available) = (sum("/status/replicas"), sum("/status/availableReplicas"));
    let wanted = number(deployment, "/spec/replicas", 1);
    let mut fields = counts(&[
        ("replicas", total),
        ("updatedReplicas", updated),
        ("readyReplicas", sum("/status/readyReplicas")),
        ("availableReplicas", available),
        (
            "unavailableReplicas",
            (all().map(|set| number(set, "/spec/replicas", 1)).sum::<i64>() - available).max(0),
        ),
        ("collisionCount", number(deployment, "/status/collisionCount", 0)),
    ]);
    fields.insert("observedGeneration".into(), deployment["metadata"]["generation"].clone());
    let mut conditions = conditions_of(deployment);
    let now = cx.stamp();
    let enough = available >= wanted - rollout::max_unavailable(deployment);
    let (status, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    let condition = json!({"type": "Available", "status": status, "reason": reason, "message": message});
    touch(&mut conditions, condition, &now);
    let complete = updated == wanted && total == wanted && available == wanted;
    if let Some(progress) = progress(cx, deployment, sets, complete, [updated, total, available], queue, key)
    {
        touch(&mut conditions, progress, &now);
    }
    let failure = all().find_map(|set| condition_of_failure(set));
    match failure {
        Some(failure) => touch(&mut conditions, failure, &now),
        None => conditions.retain(|one| one["type"] != "ReplicaFailure"),
    }
    fields.insert("conditions".into(), Value::Array(conditions));
    cx.set_status(&DEPLOYMENTS, deployment, Value::Object(fields))
}

/// Sets a condition together with the time of its last update.
fn touch(conditions: &mut Vec<Value>, condition: Value, now: &str) {
    let kind = condition["type"].clone();
    if set_condition(conditions, condition, now)
        && let Some(one) = conditions.iter_mut().find(|one| one["type"] == kind)
    {
        one["lastUpdateTime"] = json!(now);
    }
}

fn condition_of_failure(set: &Value) -> Option<Value> {
    let failure = condition(set, "ReplicaFailure")?;
    let field = |name: &str| failure[name].clone();
    Some(json!({
        "type": "ReplicaFailure", "status": "True", "reason": field("reason"), "message": field("message"),
    }))
}

/// The Progressing condition, if it changes.
fn progress(
    cx: &Cx,
    deployment: &Value,
    sets: &Sets,
    complete: bool,
    now: [i64; 3],
    queue: &mut Queue<Key>,
    key: &Key,
) -> Option<Value> {
    let deadline = number(deployment, "/spec/progressDeadlineSeconds", 600);
    let (resource, name) = match &sets.new {
        Some(set) => ("ReplicaSet", text(set, "/metadata/name")),
        None => ("Deployment", text(deployment, "/metadata/name")),
    };
    let old = condition(deployment, "Progressing");
    let condition = |status: &str, reason: &str, message: String| {
        Some(json!({"type": "Progressing", "status": status, "reason": reason, "message": message}))
    };
    if complete {
        let message = format!("{resource} \"{name}\" has successfully progressed.");
        return condition("True", "NewReplicaSetAvailable", message);
    }
    let was = |field: &str| number(deployment, field, 0);
    let before = [was("/status/updatedReplicas"), was("/status/replicas"), was("/status/availableReplicas")];
    let old_before = before[1] - before[0];
    let forward = now[0] > before[0] || now[1] - now[0] < old_before || now[2] > before[2];
    let reason = old.map_or("", |old| text(old, "/reason"));
    if forward || old.is_none() || reason == "NewReplicaSetAvailable" && before[0] > now[0] {
        let message = format!("{resource} \"{name}\" is progressing.");
        return condition("True", "ReplicaSetUpdated", message);
    }
    let since = old.map_or("", |old| text(old, "/lastUpdateTime"));
    if reason == "NewReplicaSetAvailable" || reason == "ProgressDeadlineExceeded" {
        return None;
    }
    let wait = Duration::from_secs(deadline.unsigned_abs());
    match cx.until(since, wait) {
        Some(left) => {
            queue.add_after(key.clone(), left);
            None
        }
        None => {
            let message = format!("{resource} \"{name}\" has timed out progressing.");
            condition("False", "ProgressDeadlineExceeded", message)
        }
    }
}

/// Whether a pod of some ReplicaSet but the new one still runs.
pub(super) fn old_pods_run(cx: &Cx, sets: &Sets) -> bool {
    sets.old.iter().any(|set| pods::managed(cx, uid_of(set)).iter().any(|pod| !pods::is_finished(pod)))
}
