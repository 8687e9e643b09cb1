//! The way back, in reverse order of the journal.

use super::context::Running;
use super::outcome::{Outcome, RunError, StepError};
use super::{StepContext, drive, pause};
use futures::FutureExt;
use replank_planning::ids::StepId;
use replank_planning::journal::{Record, RunState};
use replank_planning::plan::{Plan, PlannedStep, Undo};
use replank_planning::waiting::PauseReason;
use std::pin::Pin;
use tokio_util::sync::CancellationToken;

/// Whether a way back may end at a step.
///
/// # Errors
/// When the step was not begun, or its undoing was: then everything would be undone.
pub fn may_stay(plan: &Plan, state: &RunState, step: &StepId) -> Result<(), RunError> {
    let may: Vec<StepId> = state.may_stay(plan).cloned().collect();
    if may.contains(step) { Ok(()) } else { Err(RunError::NothingStays { step: step.clone(), may }) }
}

/// Undoes step by step. A step that can't be undone ends the way back before it; one whose undoing fails
/// is stuck, and says so.
pub(super) async fn back(
    running: &Running,
    to: Option<&StepId>,
    pause: &CancellationToken,
    asked_by: &str,
) -> Result<Outcome, RunError> {
    let api = running.world.api();
    let asked = pause::asked(pause, asked_by, &api);
    tokio::pin!(asked);
    let mut reason = None;
    for id in begun_after(running, to).iter().rev() {
        if reason.is_none() {
            reason = asked.as_mut().now_or_never();
        }
        if let Some(reason) = reason {
            return paused(running, reason, id);
        }
        let Some(step) = running.plan.step(id) else { continue };
        if let Undo::PointOfNoReturn { reason } = &step.undo {
            return Ok(Outcome::NoWayBack { step: id.clone(), reason: reason.clone() });
        }
        match unless_asked(running, step, asked.as_mut(), &mut reason).await {
            Ok(()) => {}
            Err(StepError::Journal(error)) => return Err(error.into()),
            Err(StepError::Lock(error)) => return Err(error.into()),
            Err(StepError::Paused) => {
                let by = || PauseReason::Requested { by: asked_by.to_owned() };
                return paused(running, reason.unwrap_or_else(by), id);
            }
            Err(error) => {
                let reason = error.to_string();
                running.ledger.record(Record::UndoFailed { step: id.clone(), reason: reason.clone() })?;
                return Ok(Outcome::Stuck { step: id.clone(), reason });
            }
        }
    }
    if to.is_none() {
        running.ledger.record(Record::RolledBack)?;
    }
    Ok(Outcome::RolledBack)
}

/// The steps to undo, in the order of their beginning.
fn begun_after(running: &Running, to: Option<&StepId>) -> Vec<StepId> {
    let mut order = running.ledger.order();
    if let Some(at) = to.and_then(|to| order.iter().position(|id| id == to)) {
        order.drain(..=at);
    }
    order
}

/// Takes one step back; a pause that is asked for meanwhile stops it at its next safe point.
async fn unless_asked(
    running: &Running,
    step: &PlannedStep,
    mut asked: Pin<&mut impl Future<Output = PauseReason>>,
    reason: &mut Option<PauseReason>,
) -> Result<(), StepError> {
    let undoing = drive::backward(running, step);
    tokio::pin!(undoing);
    loop {
        tokio::select! {
            biased;
            ended = &mut undoing => return ended,
            why = &mut asked, if reason.is_none() => {
                *reason = Some(why);
                running.stop.cancel();
            }
        }
    }
}

fn paused(running: &Running, reason: PauseReason, step: &StepId) -> Result<Outcome, RunError> {
    running.ledger.record(Record::Paused { reason: reason.clone(), step: Some(step.clone()) })?;
    Ok(Outcome::Paused { reason, step: Some(step.clone()) })
}

impl StepContext<'_> {
    /// Whether this step is on its way back.
    pub fn undoing(&self) -> bool {
        use replank_planning::journal::StepPhase;
        self.running.ledger.state(|s| s.step(&self.step.id).phase) == StepPhase::Undoing
    }
}
