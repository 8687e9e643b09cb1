//! The graph of steps, several at once.

use super::context::Running;
use super::outcome::{Outcome, RunError, StepError};
use super::{RunEvent, drive, mirror, pause, rollback};
use crate::api::{ApiError, path};
use crate::fit;
use crate::guards::Guard;
use crate::journal::{Journal, Journalled, Ledger};
use crate::lock::{Known, Lock};
use crate::observe::Settings;
use crate::run_dir::RunDir;
use crate::world::World;
use futures::stream::{FuturesUnordered, StreamExt};
use replank_planning::ids::{ClusterUid, Epoch, StepId};
use replank_planning::journal::{Entry, Header, Record, RunPhase, RunState, SCHEMA, StepPhase};
use replank_planning::plan::{Action, Plan, PlannedStep};
use replank_planning::rights;
use replank_planning::waiting::{PauseReason, Waiting};
use replank_provider_protocol::Role;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

/// How many steps are under way at once. The plan's graph is the real bound; this one keeps the
/// number of watches at the API server small whatever the surge.
const STEPS_AT_ONCE: usize = 32;
/// How soon the API server is asked again before anything else.
const CONTACT_PAUSE: Duration = Duration::from_secs(2);
/// How often before a run begins: an address that is wrong stays wrong.
const FIRST_CONTACT_TRIES: u32 = 5;
/// How often before a run goes on, two minutes long: the only API server may be restarting on its account.
const CONTACT_AGAIN_TRIES: u32 = 60;

/// A test's way to put something between the engine and the journal's file.
pub type JournalHook = Box<dyn FnOnce(Box<dyn Journal>) -> Box<dyn Journal> + Send>;

/// One run of a plan.
pub struct Engine {
    world: World,
    plan: Plan,
    run_dir: RunDir,
    events: UnboundedSender<RunEvent>,
    pause: CancellationToken,
    asked_by: String,
    hook: Option<JournalHook>,
    facts: Option<Settings>,
}

impl Engine {
    /// A run of a plan in a directory. Events go to `events`; cancelling `pause` asks for a pause at the next
    /// safe point.
    pub fn new(
        world: World,
        plan: Plan,
        run_dir: RunDir,
        events: UnboundedSender<RunEvent>,
        pause: CancellationToken,
    ) -> Self {
        Self { world, plan, run_dir, events, pause, asked_by: "a signal".into(), hook: None, facts: None }
    }

    /// Who is named when `pause` is cancelled.
    #[must_use]
    pub fn asked_by(mut self, who: &str) -> Self {
        who.clone_into(&mut self.asked_by);
        self
    }

    /// Compares the facts that the plan rests on with the cluster before the first step begins; `settings` say
    /// how to look at it.
    #[must_use]
    pub fn comparing_facts(mut self, settings: Settings) -> Self {
        self.facts = Some(settings);
        self
    }

    /// Puts something between the engine and the journal's file.
    #[must_use]
    pub fn with_journal(mut self, hook: JournalHook) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Carries the plan out, or goes on where the journal says it stopped. On a finished run it changes
    /// nothing.
    ///
    /// # Errors
    /// When the run can't be begun or must stop at once; everything else is an [`Outcome`].
    pub async fn apply(self) -> Result<Outcome, RunError> {
        if let Some(outcome) = self.over()? {
            return Ok(outcome);
        }
        let (pause, asked_by) = (self.pause.clone(), self.asked_by.clone());
        let running = self.begin().await?;
        let driving = forward(&running, &pause, &asked_by);
        let outcome = guarded(&running, driving).await?;
        mirror::write(&running).await;
        running.lock.release().await;
        Ok(outcome)
    }

    /// Undoes what the journal says was done, in reverse order; with `to`, that step stays and what was begun
    /// after it goes.
    ///
    /// # Errors
    /// As [`Engine::apply`].
    pub async fn rollback(self, to: Option<StepId>) -> Result<Outcome, RunError> {
        if let Some(to) = &to {
            let read = self.run_dir.read_journal()?;
            rollback::may_stay(&self.plan, &read.map(|r| r.state).unwrap_or_default(), to)?;
        }
        let (pause, asked_by) = (self.pause.clone(), self.asked_by.clone());
        let running = self.begin().await?;
        let outcome = guarded(&running, rollback::back(&running, to.as_ref(), &pause, &asked_by)).await?;
        mirror::write(&running).await;
        running.lock.release().await;
        Ok(outcome)
    }

    /// Whether there is nothing to carry out; a step that is half undone is not gone on with forward.
    fn over(&self) -> Result<Option<Outcome>, RunError> {
        let Some(read) = self.run_dir.read_journal()? else { return Ok(None) };
        if matches!(read.state.phase, RunPhase::Finished | RunPhase::Finalized) {
            return Ok(Some(Outcome::Finished));
        }
        match read.state.half_undone() {
            Some(step) => Err(RunError::HalfUndone { step: step.clone() }),
            None => Ok(None),
        }
    }

    /// Where the journal says the run is; none if it has not begun.
    pub(crate) fn phase(&self) -> Result<Option<RunPhase>, RunError> {
        Ok(self.run_dir.read_journal()?.map(|read| read.state.phase))
    }

    /// Opens the journal and takes the lock.
    pub(crate) async fn begin(self) -> Result<Running, RunError> {
        let plan_error = |e: replank_planning::canonical::NotCanonical| RunError::Plan(e.to_string());
        self.run_dir.keep_plan(&self.plan)?;
        let run = self.plan.run_id().map_err(plan_error)?;
        let header = Header {
            schema: SCHEMA,
            tool_version: env!("CARGO_PKG_VERSION").into(),
            run: run.clone(),
            plan: self.plan.digest().map_err(plan_error)?,
            cluster: self.plan.cluster.uid.clone(),
        };
        let read = self.run_dir.read_journal()?;
        if let Some(read) = &read
            && (read.header.plan != header.plan || read.header.cluster != header.cluster)
        {
            return Err(crate::journal::JournalError::Foreign {
                path: self.run_dir.journal_path().display().to_string(),
                belongs: format!("{} of cluster {}", read.header.run, read.header.cluster),
                expected: format!("{run} of cluster {}", header.cluster),
            }
            .into());
        }
        let tries = if read.is_some() { CONTACT_AGAIN_TRIES } else { FIRST_CONTACT_TRIES };
        let found = self.contact(tries, || cluster_uid(&self.world)).await?;
        if found != self.plan.cluster.uid {
            return Err(RunError::OtherCluster {
                planned: self.plan.cluster.uid.to_string(),
                found: found.to_string(),
            });
        }
        let needed = rights::needed(&self.plan);
        let api = self.world.api();
        if let Some(missing) = self.contact(tries, || crate::rights::missing(&api, &needed)).await? {
            return Err(RunError::Rights(missing));
        }
        let mut journal = self.run_dir.open_journal(read.as_ref().map_or(0, |r| r.whole))?;
        if let Some(hook) = self.hook {
            journal = hook(journal);
        }
        let events = self.events.clone();
        let records = Arc::new(AtomicU64::new(read.as_ref().map_or(0, Journalled::progress)));
        let recorded = records.clone();
        let listener = Box::new(move |entry: &Entry| {
            if !entry.record.only_waits() {
                recorded.store(entry.sequence, Ordering::Relaxed);
            }
            // Nobody may be watching.
            let _ = events.send(RunEvent::Recorded(Box::new(entry.clone())));
        });
        let clock = self.world.clock.clone();
        let ledger = match read {
            None => Ledger::begin(journal, &header, Epoch(0), clock.clone(), listener)?,
            Some(read) => {
                let epoch = read.state.epoch;
                Ledger::resume(journal, read, epoch, clock.clone(), listener)
            }
        };
        let mut said: Option<Waiting> = None;
        let mut unwritten = Ok(());
        let lock = Lock::acquire(
            self.world.api(),
            clock,
            self.run_dir.holder(),
            run.clone(),
            Known { epoch: ledger.state(|s| s.epoch), records },
            |waiting| {
                let _ = self.events.send(RunEvent::Waiting { step: None, waiting: waiting.clone() });
                if said.as_ref() != Some(&waiting) && unwritten.is_ok() {
                    unwritten = ledger.record(Record::Waiting { step: None, waiting: waiting.clone() });
                    said = Some(waiting);
                }
            },
        )
        .await?;
        unwritten?;
        // From the first step on the world differs by our own doing; then each step's check guards.
        if let Some(settings) = self.facts.filter(|_| ledger.state(|s| s.steps.is_empty())) {
            let compared = tokio::select! {
                biased;
                lost = lock.keep() => Err(RunError::from(lost)),
                compared = fit::compare(&self.world, &self.plan, &settings) => compared.map_err(RunError::from),
            };
            if let Err(error) = compared {
                lock.release().await;
                return Err(error);
            }
        }
        ledger.set_epoch(lock.epoch());
        ledger.record(Record::Resumed)?;
        Ok(Running {
            world: self.world,
            plan: self.plan,
            ledger,
            lock,
            run_dir: self.run_dir,
            run,
            cluster: found,
            stop: CancellationToken::new(),
            events: self.events,
        })
    }

    /// Asks the API server with some patience.
    async fn contact<T, F>(&self, most: u32, ask: impl Fn() -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let mut tries = 0;
        loop {
            match ask().await {
                Err(error) if error.may_pass() && tries < most => {
                    tries += 1;
                    let waiting = Waiting::ApiServer { reason: error.message };
                    let _ = self.events.send(RunEvent::Waiting { step: None, waiting });
                    tokio::time::sleep(CONTACT_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }
}

/// The uid of the `kube-system` namespace.
///
/// # Errors
/// As the server said.
pub async fn cluster_uid(world: &World) -> Result<ClusterUid, ApiError> {
    let namespace = world.api().get(&format!("/api/v1/namespaces/{}", path::encode("kube-system"))).await?;
    Ok(ClusterUid::new(namespace["metadata"]["uid"].as_str().unwrap_or_default()))
}

/// Drives a run while its lock is kept and its mirror is written; ends at once when the lock is lost.
async fn guarded(
    running: &Running,
    driving: impl Future<Output = Result<Outcome, RunError>>,
) -> Result<Outcome, RunError> {
    tokio::select! {
        biased;
        lost = running.lock.keep() => Err(lost.into()),
        outcome = driving => outcome,
        () = mirror::keep(running) => Err(RunError::Plan("the mirror ended".into())),
    }
}

async fn forward(running: &Running, pause: &CancellationToken, asked_by: &str) -> Result<Outcome, RunError> {
    let mut under_way = FuturesUnordered::new();
    let mut names: BTreeSet<StepId> = BTreeSet::new();
    let mut reason: Option<(PauseReason, Option<StepId>)> = None;
    let api = running.world.api();
    let asked = pause::asked(pause, asked_by, &api);
    tokio::pin!(asked);
    loop {
        if reason.is_none() {
            for step in ready(running) {
                if names.len() < STEPS_AT_ONCE && names.insert(step.id.clone()) {
                    under_way.push(async move { (step, drive::forward(running, step).await) });
                }
            }
        }
        if under_way.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            Some((step, ended)) = under_way.next() => {
                names.remove(&step.id);
                if let Err(error) = ended {
                    running.stop.cancel();
                    note(&mut reason, error, step)?;
                }
            }
            why = &mut asked, if reason.is_none() => {
                reason = Some((why, names.first().cloned()));
                running.stop.cancel();
            }
        }
    }
    if done(running) {
        running.ledger.record(Record::Finished)?;
        return Ok(Outcome::Finished);
    }
    let (reason, step) = reason.unwrap_or_else(|| {
        let reason = "no step can begin, and not all have succeeded: the plan's order has a loop".to_owned();
        (PauseReason::StepFailed { reason }, None)
    });
    running.ledger.record(Record::Paused { reason: reason.clone(), step: step.clone() })?;
    Ok(Outcome::Paused { reason, step })
}

/// Keeps the first reason; what must stop the process at once does.
fn note(
    reason: &mut Option<(PauseReason, Option<StepId>)>,
    error: StepError,
    step: &PlannedStep,
) -> Result<(), RunError> {
    match drive::pause_reason(error) {
        Ok(why) => {
            // A step that really stopped says more than a request to pause.
            let requested = matches!(reason, None | Some((PauseReason::Requested { .. }, _)));
            if requested {
                *reason = Some((why, Some(step.id.clone())));
            }
            Ok(())
        }
        Err(StepError::Journal(error)) => Err(error.into()),
        Err(StepError::Lock(error)) => Err(error.into()),
        Err(_) => Ok(()),
    }
}

pub(crate) fn done(running: &Running) -> bool {
    running.ledger.state(|s| {
        running.plan.steps.iter().all(|p| s.steps.get(&p.id).is_some_and(|r| r.phase == StepPhase::Succeeded))
    })
}

/// The steps that can begin now, in the plan's order.
fn ready(running: &Running) -> Vec<&PlannedStep> {
    let waits = running.world.guards.holds(Guard::ReadyNodes);
    running.ledger.state(|state| {
        let done = |id: &StepId| succeeded(state, id) || (!waits && lets_in(&running.plan, state, id));
        running.plan.steps.iter().filter(|s| !succeeded(state, &s.id) && s.after.iter().all(done)).collect()
    })
}

fn succeeded(state: &RunState, id: &StepId) -> bool {
    state.steps.get(id).is_some_and(|s| s.phase == StepPhase::Succeeded)
}

/// Whether a step is one that an old worker waits for before it goes, and its replacement is at least being ordered.
fn lets_in(plan: &Plan, state: &RunState, id: &StepId) -> bool {
    let Some(Action::AdmitNode(admit)) = plan.step(id).map(|s| &s.action) else { return false };
    let ordered = plan.steps.iter().find(|s| match &s.action {
        Action::CreateMachine(create) => create.slot == admit.slot,
        _ => false,
    });
    // The canary is watched for a while, which needs its Node.
    let watched = plan.steps.iter().any(|s| match &s.action {
        Action::Soak(soak) => soak.slot == admit.slot,
        _ => false,
    });
    !watched
        && plan.slot(&admit.slot).is_some_and(|s| s.role == Role::Worker)
        && ordered.is_some_and(|s| s.after.iter().all(|id| succeeded(state, id)))
}
