//! Moving every pod off a node: all at once, each with its own state.
//!
//! - [`pods`]: which pods leave, and which may not.
//! - [`eviction`]: what the server says to one eviction.

mod pods;

use super::Step;
use super::eviction::{self, Answer};
use super::support::{name_of, text};
use crate::api::{Follow, path};
use crate::clock::millis;
use crate::engine::{StepContext, StepError};
use crate::guards::Guard;
use async_trait::async_trait;
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use pods::Leaving;
use replank_planning::ids::NodeName;
use replank_planning::intent::AtDeadline;
use replank_planning::plan::action::Drain;
use replank_planning::waiting::{PodDrainState, PodWait, Refusal, Waiting};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How soon a pod that its budget holds back is asked for again, if no change of a budget comes first.
const BLOCKED_AGAIN: Duration = Duration::from_secs(10);
/// How soon an eviction that failed is asked for again; doubles up to the longest.
const FAILED_AGAIN: Duration = Duration::from_secs(1);
const LONGEST_AGAIN: Duration = Duration::from_secs(15);
/// How long pods may take to go after they were deleted at the deadline, beyond their own grace.
const AFTER_DELETE: Duration = Duration::from_mins(2);

/// See [`replank_planning::plan::Action::Drain`].
pub struct DrainStep(pub Drain);

/// One pod on its way.
struct Pod {
    namespace: String,
    name: String,
    state: PodDrainState,
    /// When it is asked for again; `None` while a request is under way or none is needed.
    due: Option<Instant>,
    pause: Duration,
}

#[derive(Default)]
struct Counts {
    moved: u64,
    requested: u64,
    blocked: u64,
}

#[async_trait]
impl Step for DrainStep {
    fn has_deadline(&self) -> bool {
        true
    }

    async fn check(&self, cx: &StepContext<'_>) -> Result<(), StepError> {
        let (name, _) = cx.node(&self.0.node)?;
        let query = path::fields(&format!("spec.nodeName={name}"));
        for pod in cx.list("/api/v1/pods", &query).await? {
            if let Leaving::Refused(refusal) = pods::leaving(cx.plan(), &pod) {
                return Err(StepError::Refused(refusal));
            }
        }
        Ok(())
    }

    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let (name, _) = cx.node(&self.0.node)?;
        let query = path::fields(&format!("spec.nodeName={name}"));
        let pods = cx.follow("/api/v1/pods", &query).await?;
        let counts =
            Draining { step: self, cx, name, pods, known: BTreeMap::new(), counts: Counts::default() }
                .run()
                .await?;
        Ok(json!({"moved": counts.moved, "requested": counts.requested, "blocked": counts.blocked}))
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

struct Draining<'s, 'c, 'a> {
    step: &'s DrainStep,
    cx: &'c StepContext<'a>,
    name: NodeName,
    pods: Follow,
    known: BTreeMap<String, Pod>,
    counts: Counts,
}

impl Draining<'_, '_, '_> {
    async fn run(mut self) -> Result<Counts, StepError> {
        let rules = &self.step.0.rules;
        let mut deadline = Instant::now() + Duration::from_secs(rules.deadline_seconds);
        let mut deleted = false;
        let mut asking = FuturesUnordered::new();
        let mut budgets: Option<Follow> = None;
        loop {
            self.look()?;
            if self.known.is_empty() && asking.is_empty() {
                return Ok(self.counts);
            }
            self.tell()?;
            self.refuse_what_is_left(asking.is_empty())?;
            let now = Instant::now();
            for (uid, pod) in &mut self.known {
                if pod.due.is_some_and(|due| due <= now) {
                    pod.due = None;
                    self.counts.requested += 1;
                    asking.push(ask(
                        self.cx,
                        &self.step.0,
                        uid.clone(),
                        pod.namespace.clone(),
                        pod.name.clone(),
                    ));
                }
            }
            let next = self.known.values().filter_map(|p| p.due).min().unwrap_or(deadline).min(deadline);
            let blocked =
                self.known.values().any(|p| matches!(p.state, PodDrainState::BlockedByBudget { .. }));
            if blocked && budgets.is_none() {
                budgets = Some(Follow::new(self.cx.api(), "/apis/policy/v1/poddisruptionbudgets", ""));
            }
            tokio::select! {
                biased;
                Some((uid, answer)) = asking.next() => {
                    self.answered(&uid, answer?);
                    // Whatever else is answered by now is told of together.
                    while let Some(Some((uid, answer))) = asking.next().now_or_never() {
                        self.answered(&uid, answer?);
                    }
                }
                changed = self.cx.changed(&mut self.pods) => {
                    changed?;
                    // A kubelet writes the statuses of all its pods at one instant: they are looked at together.
                    while let Some(changed) = self.cx.changed(&mut self.pods).now_or_never() {
                        changed?;
                    }
                }
                allowed = budget_allows(&mut budgets), if blocked => self.wake(&allowed),
                () = tokio::time::sleep_until(next) => {}
            }
            if Instant::now() >= deadline && !self.known.is_empty() {
                if rules.at_deadline == AtDeadline::Pause || deleted {
                    return Err(self.cx.deadline(rules.deadline_seconds));
                }
                deleted = true;
                let longest = self.delete_all().await?;
                deadline = Instant::now() + longest + AFTER_DELETE;
            }
        }
    }

    /// Takes in what is on the node now.
    fn look(&mut self) -> Result<(), StepError> {
        let mut there = BTreeSet::new();
        for pod in self.pods.items() {
            let uid = text(pod, "/metadata/uid").to_owned();
            let refused = match pods::leaving(self.cx.plan(), pod) {
                Leaving::Stays => continue,
                Leaving::Goes => None,
                Leaving::Refused(refusal) => Some(refusal),
            };
            there.insert(uid.clone());
            let entry = self.known.entry(uid).or_insert_with(|| Pod {
                namespace: text(pod, "/metadata/namespace").to_owned(),
                name: text(pod, "/metadata/name").to_owned(),
                state: PodDrainState::Evicting,
                due: Some(Instant::now()),
                pause: FAILED_AGAIN,
            });
            if pod.pointer("/metadata/deletionTimestamp").is_some() {
                entry.state = PodDrainState::Terminating;
                entry.due = None;
            } else if let Some(refusal) = refused {
                // It came after the check: nothing was done to it.
                return Err(StepError::Refused(refusal));
            }
        }
        let before = self.known.len();
        self.known.retain(|uid, _| there.contains(uid));
        self.counts.moved += (before - self.known.len()) as u64;
        Ok(())
    }

    fn tell(&self) -> Result<(), StepError> {
        let pods = self
            .known
            .values()
            .map(|p| PodWait { pod: format!("{}/{}", p.namespace, p.name), state: p.state.clone() });
        let mut pods: Vec<PodWait> = pods.collect();
        pods.sort();
        self.cx.waiting(Waiting::Draining { node: self.name.clone(), pods })
    }

    /// Once only pods are left that can't leave without someone's decision, says so.
    fn refuse_what_is_left(&self, nothing_under_way: bool) -> Result<(), StepError> {
        let refused = |p: &&Pod| matches!(p.state, PodDrainState::Refused { .. });
        if !nothing_under_way || !self.known.values().all(|p| refused(&p)) {
            return Ok(());
        }
        match self.known.values().find(refused) {
            Some(Pod { namespace, name, state: PodDrainState::Refused { reason }, .. }) => {
                Err(StepError::Refused(Refusal::Server {
                    action: format!("evict Pod {namespace}/{name}"),
                    message: reason.clone(),
                }))
            }
            _ => Ok(()),
        }
    }

    fn answered(&mut self, uid: &str, answer: Answer) {
        let Some(pod) = self.known.get_mut(uid) else { return };
        if pod.state == PodDrainState::Terminating {
            return;
        }
        let now = Instant::now();
        match answer {
            Answer::Accepted => {
                pod.state = PodDrainState::Terminating;
                pod.due = None;
            }
            Answer::Blocked { budget, message } => {
                self.counts.blocked += 1;
                let budget = format!("{}/{budget}", pod.namespace);
                let since = match &pod.state {
                    PodDrainState::BlockedByBudget { budget: same, since, .. } if *same == budget => {
                        since.clone()
                    }
                    _ => millis(self.cx.running.world.clock.now()),
                };
                pod.state = PodDrainState::BlockedByBudget { budget, message, since };
                pod.due = Some(now + BLOCKED_AGAIN);
            }
            Answer::Again { message, after } => {
                pod.state = PodDrainState::Retrying { message };
                pod.due = Some(now + pod.pause.max(after));
                pod.pause = (pod.pause * 2).min(LONGEST_AGAIN);
            }
            Answer::Refused(reason) => {
                pod.state = PodDrainState::Refused { reason };
                pod.due = None;
            }
        }
    }

    /// Asks again at once for pods whose budget has room now.
    fn wake(&mut self, allowed: &BTreeSet<String>) {
        let now = Instant::now();
        for pod in self.known.values_mut() {
            if let PodDrainState::BlockedByBudget { budget, .. } = &pod.state
                && allowed.contains(budget)
                && pod.due.is_some()
            {
                pod.due = Some(now);
            }
        }
    }

    /// Deletes every pod that is still there, budgets or not: only where the user said so. Answers the
    /// longest of their grace times.
    async fn delete_all(&mut self) -> Result<Duration, StepError> {
        let mut longest = Duration::ZERO;
        for pod in self.pods.items() {
            let grace =
                pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64).unwrap_or(30);
            longest = longest.max(Duration::from_secs(grace));
        }
        for (uid, pod) in &mut self.known {
            self.cx.delete(&path::core(&pod.namespace, "pods", &pod.name), uid).await?;
            pod.state = PodDrainState::Terminating;
            pod.due = None;
        }
        Ok(longest)
    }
}

async fn ask(
    cx: &StepContext<'_>,
    drain: &Drain,
    uid: String,
    namespace: String,
    name: String,
) -> (String, Result<Answer, StepError>) {
    if let Err(error) = cx.permit().await {
        return (uid, Err(error));
    }
    let answer = if cx.holds(Guard::Pdb) {
        eviction::evict(&cx.api(), &namespace, &name, &uid, drain.rules.grace_seconds).await
    } else {
        eviction::delete(&cx.api(), &namespace, &name, &uid).await
    };
    (uid, Ok(answer))
}

/// Waits for a change among the budgets; `namespace/name` of those that allow a disruption.
async fn budget_allows(budgets: &mut Option<Follow>) -> BTreeSet<String> {
    let Some(budgets) = budgets else { return std::future::pending().await };
    loop {
        match budgets.advance().await {
            Ok(true) => break,
            Ok(false) => {}
            // Blocked pods are asked for again anyway.
            Err(_) => tokio::time::sleep(BLOCKED_AGAIN).await,
        }
    }
    budgets
        .items()
        .filter(|b| super::support::number(b, "/status/disruptionsAllowed") > 0)
        .map(name_of)
        .collect()
}
