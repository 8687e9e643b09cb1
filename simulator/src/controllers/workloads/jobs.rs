//! Jobs: pods until enough of them have succeeded, or too many have failed.
//!
//! A finished pod is counted once: it keeps a finalizer until it has been.

use super::pods;
use super::replica_sets::note_owner;
use crate::controllers::context::{Cx, gone_is_fine};
use crate::controllers::objects::{
    Key, about, condition_status, conditions_of, counts, finalizers, is_terminating, key_of, name_of,
    namespace_of, number, set_condition, text, uid_of,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::{JOBS, PODS};
use crate::server::{DeleteOptions, Event, Object, Propagation, Status, Subresource};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

const UNCOUNTED: &str = "batch.kubernetes.io/job-tracking";
/// First wait after a pod failed; it doubles with every failure.
const FIRST_BACKOFF: Duration = Duration::from_secs(10);
/// Longest wait after a pod failed.
const LONGEST_BACKOFF: Duration = Duration::from_secs(600);

/// The Job controller, with the time of each Job's last failure.
#[derive(Default)]
pub(crate) struct Jobs {
    failures: BTreeMap<Key, (i64, Instant)>,
}

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
        let Some(job) = cx.get(&JOBS, &key.0, &key.1) else {
            self.failures.remove(key);
            return Ok(());
        };
        let all = pods::managed(cx, uid_of(&job));
        let over = is_over(&job);
        let mut tally = Tally::of(&job, &all);
        let outcome = if over { None } else { tally.outcome(cx, &job, queue, key) };
        if over || outcome.is_some() || job["spec"]["suspend"] == true || is_terminating(&job) {
            for pod in all.iter().filter(|pod| pods::is_active(pod)) {
                cx.delete(&PODS, pod)?;
            }
        } else if self.rested(key, &tally, queue) {
            tally.active += start(cx, &job, &tally)?;
        }
        if !over {
            cx.set_status(&JOBS, &job, status(cx, &job, &tally, outcome))?;
        }
        // Counted now, and never again.
        for pod in tally.counted.iter().chain(all.iter().filter(|_| over || is_terminating(&job))) {
            release(cx, pod)?;
        }
        expire(cx, key, &job, queue)
    }
}

impl Jobs {
    /// Whether the wait after the last failure is over.
    fn rested(&mut self, key: &Key, tally: &Tally, queue: &mut Queue<Key>) -> bool {
        if tally.failed == 0 {
            return true;
        }
        let (count, at) = self.failures.entry(key.clone()).or_insert((0, Instant::now()));
        if *count != tally.failed {
            (*count, *at) = (tally.failed, Instant::now());
        }
        let doublings = u32::try_from(tally.failed - 1).unwrap_or(6).min(6);
        let wait = (FIRST_BACKOFF * 2u32.pow(doublings)).min(LONGEST_BACKOFF);
        match wait.checked_sub(at.elapsed()).filter(|left| !left.is_zero()) {
            Some(left) => {
                queue.add_after(key.clone(), left);
                false
            }
            None => true,
        }
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
    /// Finished pods that are in the numbers from now on.
    counted: Vec<Object>,
}

impl Tally {
    fn of(job: &Value, all: &[Object]) -> Self {
        let mut tally = Self {
            active: 0,
            ready: 0,
            succeeded: number(job, "/status/succeeded", 0),
            failed: number(job, "/status/failed", 0),
            counted: Vec::new(),
        };
        for pod in all {
            if pods::is_active(pod) {
                tally.active += 1;
                tally.ready += i64::from(pods::is_ready(pod));
            } else if finalizers(pod).iter().any(|one| one == UNCOUNTED) {
                let good = text(pod, "/status/phase") == "Succeeded";
                *(if good { &mut tally.succeeded } else { &mut tally.failed }) += 1;
                tally.counted.push(pod.clone());
            }
        }
        tally
    }

    /// How the Job ends, if it does: its condition, reason and message.
    fn outcome(
        &self,
        cx: &Cx,
        job: &Value,
        queue: &mut Queue<Key>,
        key: &Key,
    ) -> Option<(&'static str, &'static str, &'static str)> {
        let enough = match job["spec"]["completions"].as_i64() {
            Some(wanted) => self.succeeded >= wanted,
            None => self.succeeded > 0 && self.active == 0,
        };
        if enough {
            return Some(("Complete", "CompletionsReached", "Reached expected number of succeeded pods"));
        }
        if self.failed > number(job, "/spec/backoffLimit", 6) {
            let message = "Job has reached the specified backoff limit";
            return Some(("Failed", "BackoffLimitExceeded", message));
        }
        let limit = job["spec"]["activeDeadlineSeconds"].as_u64()?;
        let started = text(job, "/status/startTime");
        if started.is_empty() {
            queue.add_after(key.clone(), Duration::from_secs(limit));
            return None;
        }
        match cx.until(started, Duration::from_secs(limit)) {
            Some(left) => {
                queue.add_after(key.clone(), left);
                None
            }
            None => Some(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")),
        }
    }
}

/// Starts the pods that are missing; how many.
fn start(cx: &Cx, job: &Value, tally: &Tally) -> Result<i64, Status> {
    let parallel = number(job, "/spec/parallelism", 1);
    let left = match job["spec"]["completions"].as_i64() {
        Some(wanted) => wanted - tally.succeeded,
        None if tally.succeeded > 0 => 0,
        None => parallel,
    };
    let missing = parallel.min(left) - tally.active;
    for _ in 0..missing {
        let mut pod = pods::from_template(&job["spec"]["template"], &JOBS, job);
        let mut own = finalizers(&pod);
        own.push(UNCOUNTED.to_owned());
        pod["metadata"]["finalizers"] = json!(own);
        pods::create(cx, job, pod)?;
    }
    Ok(missing.max(0))
}

fn release(cx: &Cx, pod: &Value) -> Result<(), Status> {
    let written = cx.edit(&PODS, namespace_of(pod), name_of(pod), Subresource::None, |pod| {
        let left: Vec<String> = finalizers(pod).into_iter().filter(|one| one != UNCOUNTED).collect();
        if left.len() != finalizers(pod).len() {
            pod["metadata"]["finalizers"] = json!(left);
        }
    });
    written.map(|_| ())
}

fn status(
    cx: &Cx,
    job: &Value,
    tally: &Tally,
    outcome: Option<(&'static str, &'static str, &'static str)>,
) -> Value {
    let active = if outcome.is_some() { 0 } else { tally.active };
    let mut fields = counts(&[("active", active), ("succeeded", tally.succeeded), ("failed", tally.failed)]);
    fields.insert("ready".into(), json!(if outcome.is_some() { 0 } else { tally.ready }));
    let now = cx.stamp();
    let started = match text(job, "/status/startTime") {
        "" => now.clone(),
        before => before.to_owned(),
    };
    let suspended = job["spec"]["suspend"] == true;
    if !suspended {
        fields.insert("startTime".into(), json!(started));
    }
    let mut conditions = conditions_of(job);
    let mut set = |kind: &str, status: &str, reason: &str, message: &str| {
        let condition = json!({"type": kind, "status": status, "reason": reason, "message": message});
        if set_condition(&mut conditions, condition, &now)
            && let Some(last) = conditions.iter_mut().find(|one| one["type"] == kind)
        {
            last["lastProbeTime"] = json!(now);
        }
    };
    if suspended {
        set("Suspended", "True", "JobSuspended", "Job suspended");
    } else if condition_status(job, "Suspended") == "True" {
        set("Suspended", "False", "JobResumed", "Job resumed");
    }
    if let Some((kind, reason, message)) = outcome {
        let before = if kind == "Complete" { "SuccessCriteriaMet" } else { "FailureTarget" };
        set(before, "True", reason, message);
        set(kind, "True", reason, message);
        if kind == "Complete" {
            fields.insert("completionTime".into(), json!(now));
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
    let ends = conditions_of(job);
    let ended = ends.iter().find(|one| ["Complete", "Failed"].contains(&text(one, "/type")));
    let at = ended.map_or("", |one| text(one, "/lastTransitionTime"));
    match cx.until(at, Duration::from_secs(seconds)) {
        Some(left) => queue.add_after(key.clone(), left),
        None => {
            let propagation = Some(Propagation::Foreground);
            let options = DeleteOptions { propagation, ..DeleteOptions::of_uid(uid_of(job)) };
            gone_is_fine(cx.direct.delete(&JOBS, namespace_of(job), name_of(job), options))?;
        }
    }
    Ok(())
}
