//! Jobs: pods until enough of them have succeeded, or too many have failed.

use super::pods;
use super::replica_sets::note_owner;
use crate::controllers::context::Cx;
use crate::controllers::objects::{
    Key, about, condition_status, conditions_of, counts, is_terminating, key_of, number, set_condition, text,
    uid_of,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::{JOBS, PODS};
use crate::server::{Event, Object, Status};
use serde_json::{Value, json};
use std::time::Duration;

/// The Job controller.
#[derive(Default)]
pub(crate) struct Jobs;

impl Controller for Jobs {
    type Key = Key;

    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Key>) {
        if about(event, &JOBS) {
            queue.add(key_of(event.object()));
        } else if about(event, &PODS) {
            note_owner(event, "Job", queue);
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, queue: &mut Queue<Key>) -> Result<(), Status> {
        let Some(job) = cx.get(&JOBS, &key.0, &key.1) else { return Ok(()) };
        let all = pods::managed(cx, uid_of(&job));
        let tally = Tally::of(&job, &all);
        let over = is_over(&job);
        if !is_terminating(&job) && !over && tally.outcome().is_none() {
            let missing = usize::try_from(tally.missing(&job)).unwrap_or(0);
            for _ in 0..missing {
                let mut pod = pods::from_template(&job["spec"]["template"], &JOBS, &job);
                pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] = job["metadata"]["name"].clone();
                pod["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = json!(uid_of(&job));
                pods::create(cx, &job, pod)?;
            }
        }
        if tally.outcome().is_some() {
            for pod in all.iter().filter(|pod| pods::is_active(pod)) {
                cx.delete(&PODS, pod)?;
            }
        }
        cx.set_status(&JOBS, &job, status(cx, &job, &tally))?;
        expire(cx, key, &job, queue)
    }
}

fn is_over(job: &Value) -> bool {
    ["Complete", "Failed"].iter().any(|kind| condition_status(job, kind) == "True")
}

/// What became of a Job's pods.
struct Tally {
    active: i64,
    ready: i64,
    succeeded: i64,
    failed: i64,
    wanted: i64,
    limit: i64,
}

impl Tally {
    fn of(job: &Value, all: &[Object]) -> Self {
        let count = |keep: &dyn Fn(&Value) -> bool| {
            i64::try_from(all.iter().filter(|pod| keep(pod)).count()).unwrap_or(i64::MAX)
        };
        let phase = |phase: &'static str| move |pod: &Value| text(pod, "/status/phase") == phase;
        Self {
            active: count(&|pod| pods::is_active(pod)),
            ready: count(&|pod| pods::is_active(pod) && pods::is_ready(pod)),
            succeeded: count(&phase("Succeeded")).max(number(job, "/status/succeeded", 0)),
            failed: count(&phase("Failed")).max(number(job, "/status/failed", 0)),
            wanted: number(job, "/spec/completions", 1),
            limit: number(job, "/spec/backoffLimit", 6),
        }
    }

    fn outcome(&self) -> Option<&'static str> {
        if self.succeeded >= self.wanted {
            Some("Complete")
        } else if self.failed > self.limit {
            Some("Failed")
        } else {
            None
        }
    }

    fn missing(&self, job: &Value) -> i64 {
        if job["spec"]["suspend"] == true {
            return 0;
        }
        let parallel = number(job, "/spec/parallelism", 1);
        parallel.min(self.wanted - self.succeeded) - self.active
    }
}

fn status(cx: &Cx, job: &Value, tally: &Tally) -> Value {
    let mut fields = counts(&[
        ("active", tally.active),
        ("succeeded", tally.succeeded),
        ("failed", tally.failed),
        ("ready", tally.ready),
    ]);
    let now = cx.stamp();
    let started = match text(job, "/status/startTime") {
        "" => now.clone(),
        before => before.to_owned(),
    };
    fields.insert("startTime".into(), json!(started));
    let mut conditions = conditions_of(job);
    if let Some(outcome) = tally.outcome() {
        set_condition(&mut conditions, json!({"type": outcome, "status": "True"}), &now);
        let before = text(job, "/status/completionTime");
        if outcome == "Complete" {
            fields.insert("completionTime".into(), json!(if before.is_empty() { &now } else { before }));
        }
    }
    if !conditions.is_empty() {
        fields.insert("conditions".into(), Value::Array(conditions));
    }
    Value::Object(fields)
}

/// Deletes a Job whose time after its end is over.
fn expire(cx: &Cx, key: &Key, job: &Value, queue: &mut Queue<Key>) -> Result<(), Status> {
    let Some(seconds) = job["spec"]["ttlSecondsAfterFinished"].as_u64().filter(|_| is_over(job)) else {
        return Ok(());
    };
    let ended = text(job, "/status/conditions/0/lastTransitionTime");
    match cx.until(ended, Duration::from_secs(seconds)) {
        Some(left) => queue.add_after(key.clone(), left),
        None => cx.delete(&JOBS, job)?,
    }
    Ok(())
}
