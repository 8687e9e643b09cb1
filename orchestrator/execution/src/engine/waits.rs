//! What a step waits for: said when it is new, left when it lasts too long.

use super::{RunEvent, StepContext, StepError};
use replank_planning::journal::Record;
use replank_planning::waiting::{PodDrainState, PodWait, Waiting};
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// How long an API server that gives no answer is waited for before the run pauses: longer than a
/// control plane's reboot.
pub(super) const PATIENCE: Duration = Duration::from_mins(15);
/// How long a step may wait without anything about its reason changing before the run pauses: longer than
/// anything that goes on by itself takes between two of its changes.
const STALLED: Duration = Duration::from_mins(15);

/// What a step has waited for so far.
pub(super) struct Waits {
    /// What the journal knows.
    recorded: Option<Waiting>,
    /// What was told to whoever watches.
    told: Option<Waiting>,
    /// Everything that was ever waited for: what comes again is no progress.
    seen: BTreeSet<Waiting>,
    /// When something new was last waited for.
    progress: Instant,
}

impl Waits {
    pub(super) fn new() -> Self {
        Self { recorded: None, told: None, seen: BTreeSet::new(), progress: Instant::now() }
    }
}

impl StepContext<'_> {
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
                        let state = PodDrainState::BlockedByBudget {
                            budget: budget.clone(),
                            message: String::new(),
                            since: String::new(),
                        };
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
