//! All that a step may touch, with every retry and every wait.

use super::{RunEvent, StepError};
use crate::api::{Api, ApiError, Follow, PatchKind};
use crate::guards::Guard;
use crate::journal::Ledger;
use crate::lock::Lock;
use crate::run_dir::{Backup, RunDir};
use crate::world::World;
use replank_planning::ids::{ClusterUid, MachineId, NodeName, RunId, SlotId, Uid};
use replank_planning::journal::Record;
use replank_planning::late::{Learned, NodeRef};
use replank_planning::plan::{Plan, PlannedStep, Slot};
use replank_planning::waiting::{PodDrainState, PodWait, Waiting};
use replank_provider_protocol::verbs::Mutation;
use replank_provider_protocol::{OperationId, ProviderError, Retry};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The first pause before an API request is sent again, and the longest: quick for a dropped connection,
/// gentle with a server that is down.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// How long an API server that gives no answer is waited for before the run pauses: longer than a
/// control plane's reboot.
const PATIENCE: Duration = Duration::from_mins(15);
/// How long a step may wait without anything about its reason changing before the run pauses: longer than
/// anything that goes on by itself takes between two of its changes.
const STALLED: Duration = Duration::from_mins(15);
/// How often a provider that answers "pending" is asked again: its backend can't be watched.
const PROVIDER_POLL: Duration = Duration::from_secs(2);
/// How long a provider that answers "pending", or fails in a way that may pass, is asked again.
const PROVIDER_PATIENCE: Duration = Duration::from_mins(15);

/// What all steps of a run share.
pub(crate) struct Running {
    pub(crate) world: World,
    pub(crate) plan: Plan,
    pub(crate) ledger: Ledger,
    pub(crate) lock: Lock,
    pub(crate) run_dir: RunDir,
    pub(crate) run: RunId,
    pub(crate) cluster: ClusterUid,
    /// Asks every step to stop at its next safe point.
    pub(crate) stop: CancellationToken,
    pub(crate) events: UnboundedSender<RunEvent>,
}

/// What one step may touch.
pub struct StepContext<'a> {
    pub(crate) running: &'a Running,
    pub(crate) step: &'a PlannedStep,
    waits: Mutex<Waits>,
}

struct Waits {
    /// What the journal knows.
    recorded: Option<Waiting>,
    /// What was told to whoever watches.
    told: Option<Waiting>,
    /// Everything that was ever waited for: what comes again is no progress.
    seen: BTreeSet<Waiting>,
    /// When something new was last waited for.
    progress: Instant,
}

impl<'a> StepContext<'a> {
    pub(crate) fn new(running: &'a Running, step: &'a PlannedStep) -> Self {
        let waits = Waits { recorded: None, told: None, seen: BTreeSet::new(), progress: Instant::now() };
        Self { running, step, waits: Mutex::new(waits) }
    }

    /// The plan.
    pub fn plan(&self) -> &'a Plan {
        &self.running.plan
    }

    /// The API, for reads that the context has no method for.
    pub fn api(&self) -> Api {
        self.running.world.api()
    }

    /// Whether a guard stands.
    pub fn holds(&self, guard: Guard) -> bool {
        self.running.world.guards.holds(guard)
    }

    // ---- the plan's names and the journal's facts

    /// A slot of the plan.
    ///
    /// # Errors
    /// When the plan has no such slot.
    pub fn slot(&self, id: &SlotId) -> Result<&'a Slot, StepError> {
        self.plan().slot(id).ok_or_else(|| {
            StepError::changed(format!("slot {id}"), "the plan's step names it, but no slot is called so")
        })
    }

    /// A node's name and incarnation.
    ///
    /// # Errors
    /// When a replacement's Node is not known yet.
    pub fn node(&self, node: &NodeRef) -> Result<(NodeName, Uid), StepError> {
        match node {
            NodeRef::Old { name, uid, .. } => Ok((name.clone(), uid.clone())),
            NodeRef::New { slot } => {
                self.running.ledger.state(|s| s.slots.get(slot).and_then(|f| f.node.clone())).ok_or_else(
                    || StepError::changed(format!("the replacement of {slot}"), "its Node is not known"),
                )
            }
        }
    }

    /// A node's machine.
    ///
    /// # Errors
    /// When a replacement's machine is not known yet.
    pub fn machine(&self, node: &NodeRef) -> Result<MachineId, StepError> {
        match node {
            NodeRef::Old { slot, .. } => Ok(self.slot(slot)?.old.machine.clone()),
            NodeRef::New { slot } => self.learned_machine(slot).ok_or_else(|| {
                StepError::changed(format!("the replacement of {slot}"), "its machine is not known")
            }),
        }
    }

    /// A replacement's machine, if it has been learned.
    pub fn learned_machine(&self, slot: &SlotId) -> Option<MachineId> {
        self.running.ledger.state(|s| s.slots.get(slot).and_then(|f| f.machine.clone()))
    }

    /// Writes down a fact before it is used. A fact that is known already is not written again.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn learn(&self, learned: Learned) -> Result<(), StepError> {
        let known = self.running.ledger.state(|state| {
            state.slots.get(learned.slot()).is_some_and(|facts| match &learned {
                Learned::Machine { machine, .. } => facts.machine.as_ref() == Some(machine),
                Learned::Snapshot { snapshot, .. } => facts.snapshot.as_ref() == Some(snapshot),
                Learned::Node { name, uid, .. } => facts.node.as_ref() == Some(&(name.clone(), uid.clone())),
                Learned::Token { id, .. } => facts.token.as_ref() == Some(id),
            })
        });
        if !known {
            self.running.ledger.record(Record::Learned { step: self.step.id.clone(), learned })?;
        }
        Ok(())
    }

    /// Keeps a document in the run's backup.
    ///
    /// # Errors
    /// When it can't be kept.
    pub fn back_up(&self, name: &str, document: &Value) -> Result<Backup, StepError> {
        Ok(self.running.run_dir.back_up(&format!("{}.{name}", self.step.id), document)?)
    }

    /// Reads a document from the run's backup.
    ///
    /// # Errors
    /// When it is not as it was written.
    pub fn restore(&self, backup: &Backup) -> Result<Value, StepError> {
        Ok(self.running.run_dir.restore(backup)?)
    }

    // ---- waiting

    /// Says what the step waits for: to the journal when the reason is a new one, to whoever watches
    /// whenever anything about it is.
    ///
    /// # Errors
    /// When the journal can't be written.
    pub fn waiting(&self, waiting: Waiting) -> Result<(), StepError> {
        let essence = essence(&waiting);
        let (tell, record) = {
            let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
            let tell = waits.told.as_ref() != Some(&waiting);
            let record = waits.recorded.as_ref() != Some(&essence);
            if tell {
                waits.told = Some(waiting.clone());
                if waits.seen.insert(waiting.clone()) {
                    waits.progress = Instant::now();
                }
            }
            if record {
                waits.recorded = Some(essence);
            }
            (tell, record)
        };
        let step = Some(self.step.id.clone());
        if record {
            self.running.ledger.record(Record::Waiting { step: step.clone(), waiting: waiting.clone() })?;
        }
        if tell {
            // Nobody may be watching.
            let _ = self.running.events.send(RunEvent::Waiting { step, waiting });
        }
        Ok(())
    }

    /// What the step waits for right now.
    pub fn waits_for(&self) -> Option<Waiting> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).told.clone()
    }

    /// A deadline's error, naming what was waited for.
    pub fn deadline(&self, seconds: u64) -> StepError {
        let nothing = || Waiting::Retry { reason: "nothing was waited for".into() };
        StepError::Deadline { waiting: Box::new(self.waits_for().unwrap_or_else(nothing)), seconds }
    }

    /// Ends when nothing new has been waited for in a long time.
    pub(crate) async fn stalled(&self) -> StepError {
        loop {
            let progress = self.waits.lock().unwrap_or_else(PoisonError::into_inner).progress;
            let until = progress + STALLED;
            if Instant::now() >= until {
                return self.deadline(STALLED.as_secs());
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// A point at which the step may be left and taken up again.
    ///
    /// # Errors
    /// When a pause was asked for.
    pub fn pause_point(&self) -> Result<(), StepError> {
        if self.running.stop.is_cancelled() { Err(StepError::Paused) } else { Ok(()) }
    }

    /// Sleeps, or ends at once when a pause is asked for.
    ///
    /// # Errors
    /// When a pause was asked for.
    pub async fn sleep(&self, duration: Duration) -> Result<(), StepError> {
        tokio::select! {
            biased;
            () = self.running.stop.cancelled() => Err(StepError::Paused),
            () = tokio::time::sleep(duration) => Ok(()),
        }
    }

    /// Returns while the cluster's lock is surely ours: before every act.
    ///
    /// # Errors
    /// When it is lost.
    pub async fn permit(&self) -> Result<(), StepError> {
        let mut failed = Ok(());
        let permit = tokio::select! {
            biased;
            permit = self.running.lock.permit(|| failed = self.waiting(Waiting::LockNotRenewed)) => permit,
            // A lock that comes back is not for steps that were asked to stop.
            () = self.running.stop.cancelled() => return Err(StepError::Paused),
            () = tokio::time::sleep(PATIENCE) => return Err(self.deadline(PATIENCE.as_secs())),
        };
        failed?;
        Ok(permit?)
    }

    /// Which try of the step this is: commands on hosts are told apart by it, because a host remembers how
    /// a command ended, failures too.
    pub fn attempt(&self) -> u32 {
        self.running.ledger.state(|s| s.steps.get(&self.step.id).map_or(0, |s| s.attempt))
    }

    // ---- the API server

    /// Sends a request again for as long as it may pass. The inner result is the server's last word.
    ///
    /// # Errors
    /// When it does not pass in a long time, or a pause was asked for.
    pub async fn patiently<T, F>(&self, ask: impl FnMut() -> F) -> Result<Result<T, ApiError>, StepError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        self.patiently_if(ApiError::may_pass, ask).await
    }

    /// The same for requests that name no version of what they change: when someone else was quicker, the
    /// very same request is as good as before.
    async fn through_conflicts<T, F>(&self, ask: impl FnMut() -> F) -> Result<Result<T, ApiError>, StepError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        self.patiently_if(|error| error.may_pass() || error.is_lost_race(), ask).await
    }

    async fn patiently_if<T, F>(
        &self,
        again: impl Fn(&ApiError) -> bool,
        mut ask: impl FnMut() -> F,
    ) -> Result<Result<T, ApiError>, StepError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match ask().await {
                Err(error) if again(&error) => self.trouble(&error, since, &mut pause).await?,
                answer => return Ok(answer),
            }
        }
    }

    async fn trouble(&self, error: &ApiError, since: Instant, pause: &mut Duration) -> Result<(), StepError> {
        self.waiting(Waiting::ApiServer { reason: error.message.clone() })?;
        if since.elapsed() >= PATIENCE {
            return Err(self.deadline(PATIENCE.as_secs()));
        }
        let asked = error.retry_after.map_or(Duration::ZERO, Duration::from_secs);
        self.sleep((*pause).max(asked.min(LONGEST_PAUSE))).await?;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// One object, if it is there.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn find(&self, path: &str) -> Result<Option<Value>, StepError> {
        let api = self.api();
        let answer = self.patiently(|| api.find(path)).await?;
        answer.map_err(|e| StepError::server(format!("read {path}"), &e))
    }

    /// All objects of a collection; none if there is no such collection.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn list(&self, path: &str, query: &str) -> Result<Vec<Value>, StepError> {
        let api = self.api();
        match self.patiently(|| api.list(path, query)).await? {
            Ok((items, _)) => Ok(items),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(StepError::server(format!("list {path}"), &error)),
        }
    }

    /// Creates an object. The inner error is the server's word for a refusal, `AlreadyExists` included.
    ///
    /// # Errors
    /// When the server gives no answer for long.
    pub async fn create(&self, collection: &str, body: &Value) -> Result<Result<Value, ApiError>, StepError> {
        let api = self.api();
        self.permit().await?;
        self.through_conflicts(|| async {
            self.permitted().await?;
            api.create(collection, body).await
        })
        .await
    }

    /// Changes an object. The inner error is the server's word for a refusal.
    ///
    /// # Errors
    /// When the server gives no answer for long.
    pub async fn patch(
        &self,
        path: &str,
        kind: PatchKind,
        body: &Value,
    ) -> Result<Result<Value, ApiError>, StepError> {
        let api = self.api();
        self.permit().await?;
        let ask = || async {
            self.permitted().await?;
            api.patch(path, kind, body).await
        };
        if body.pointer("/metadata/resourceVersion").is_some() {
            self.patiently(ask).await
        } else {
            self.through_conflicts(ask).await
        }
    }

    /// Deletes one incarnation of an object; fine if it is gone or was replaced by another.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete(&self, path: &str, uid: &str) -> Result<(), StepError> {
        let api = self.api();
        self.deletion(path, || api.delete(path, uid)).await
    }

    /// The same for an object that has no time left to end in.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete_at_once(&self, path: &str, uid: &str) -> Result<(), StepError> {
        let api = self.api();
        self.deletion(path, || api.delete_at_once(path, uid)).await
    }

    /// The same for an object that stays until its dependents are gone.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn delete_with_dependents(&self, path: &str, uid: &str) -> Result<(), StepError> {
        let api = self.api();
        self.deletion(path, || api.delete_with_dependents(path, uid)).await
    }

    async fn deletion<F>(&self, path: &str, ask: impl Fn() -> F) -> Result<(), StepError>
    where
        F: Future<Output = Result<Value, ApiError>>,
    {
        self.permit().await?;
        let answer = self
            .through_conflicts(|| async {
                self.permitted().await?;
                ask().await
            })
            .await?;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(StepError::server(format!("delete {path}"), &error)),
        }
    }

    /// The lock before a single request: not held means "not now", which is asked again.
    pub(crate) async fn permitted(&self) -> Result<(), ApiError> {
        self.permit().await.map_err(|e| ApiError { code: 403, ..ApiError::unanswered(&e.to_string()) })
    }

    /// Follows a collection; what is there already is known when this returns.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn follow(&self, path: &str, query: &str) -> Result<Follow, StepError> {
        let mut follow = Follow::new(self.api(), path, query);
        self.changed(&mut follow).await?;
        Ok(follow)
    }

    /// Waits until what is followed may have changed.
    ///
    /// # Errors
    /// When the server refuses, or a pause was asked for.
    pub async fn changed(&self, follow: &mut Follow) -> Result<(), StepError> {
        let mut trouble: Option<(Instant, Duration)> = None;
        loop {
            let answer = tokio::select! {
                biased;
                () = self.running.stop.cancelled() => return Err(StepError::Paused),
                answer = follow.advance() => answer,
            };
            match answer {
                Ok(true) => return Ok(()),
                Ok(false) => trouble = None,
                Err(error) if error.may_pass() => {
                    let (since, mut pause) = trouble.unwrap_or((Instant::now(), FIRST_PAUSE));
                    self.trouble(&error, since, &mut pause).await?;
                    trouble = Some((since, pause));
                }
                Err(error) => return Err(StepError::server("watch", &error)),
            }
        }
    }

    // ---- the provider

    /// What a mutating call carries. `effect` tells apart what one step asks for; the same effect always
    /// has the same id, until the step has been undone.
    pub fn mutation(&self, effect: &str) -> Mutation {
        let undone = self.running.ledger.state(|s| s.steps.get(&self.step.id).map_or(0, |s| s.undo_attempt));
        let mut operation = format!("{}/{}/{effect}", self.running.run, self.step.id);
        if undone > 0 {
            operation = format!("{operation}/{undone}");
        }
        Mutation {
            operation: OperationId::new(operation),
            run: self.running.run.clone(),
            cluster: self.running.cluster.to_string(),
            epoch: self.running.lock.epoch(),
        }
    }

    /// Asks the provider until its work is done.
    ///
    /// # Errors
    /// When it refuses, or does not get done in a long time.
    pub async fn provider<T, F>(&self, verb: &str, mut ask: impl FnMut() -> F) -> Result<T, StepError>
    where
        F: Future<Output = Result<replank_provider_protocol::verbs::Progress<T>, ProviderError>>,
    {
        use replank_provider_protocol::verbs::Progress;
        let since = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            self.permit().await?;
            let message = match ask().await {
                Ok(Progress::Done { value }) => return Ok(value),
                Ok(Progress::Pending { message }) => {
                    pause = PROVIDER_POLL;
                    message
                }
                Err(error) if error.retry == Retry::MayHelp => error.message,
                Err(error) => {
                    return Err(StepError::Provider(format!("the provider refused to {verb}: {error}")));
                }
            };
            self.waiting(Waiting::Provider { verb: verb.to_owned(), message })?;
            if since.elapsed() >= PROVIDER_PATIENCE {
                return Err(self.deadline(PROVIDER_PATIENCE.as_secs()));
            }
            self.sleep(pause).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks the provider for something that it answers at once.
    ///
    /// # Errors
    /// As [`StepContext::provider`].
    pub async fn provider_at_once<T, F>(&self, verb: &str, mut ask: impl FnMut() -> F) -> Result<T, StepError>
    where
        F: Future<Output = Result<T, ProviderError>>,
    {
        use replank_provider_protocol::verbs::Progress;
        self.provider(verb, || {
            let answer = ask();
            async move { answer.await.map(|value| Progress::Done { value }) }
        })
        .await
    }
}

/// What of a reason is new enough for the journal: pods that merely go their way are not.
fn essence(waiting: &Waiting) -> Waiting {
    match waiting {
        Waiting::Draining { node, pods } => {
            let held: BTreeSet<PodWait> = pods
                .iter()
                .filter_map(|p| match &p.state {
                    // By budget: which of its pods is next is not worth a record.
                    PodDrainState::BlockedByBudget { budget, .. } => {
                        let state =
                            PodDrainState::BlockedByBudget { budget: budget.clone(), message: String::new() };
                        Some(PodWait { pod: String::new(), state })
                    }
                    PodDrainState::Refused { .. } => Some(p.clone()),
                    _ => None,
                })
                .collect();
            Waiting::Draining { node: node.clone(), pods: held.into_iter().collect() }
        }
        Waiting::Rollout { object, node, wanted, .. } => {
            Waiting::Rollout { object: object.clone(), node: node.clone(), ready: 0, wanted: *wanted }
        }
        other => other.clone(),
    }
}
