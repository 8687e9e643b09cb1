//! The way back, in reverse order of the journal.

use super::context::Running;
use super::outcome::{Outcome, RunError, StepError};
use super::{StepContext, drive};
use replank_planning::ids::StepId;
use replank_planning::journal::Record;
use replank_planning::plan::Undo;
use replank_planning::waiting::PauseReason;
use tokio_util::sync::CancellationToken;

/// Undoes step by step. A step that can't be undone ends the way back before it; one whose undoing fails
/// is stuck, and says so.
pub(super) async fn back(
    running: &Running,
    to: Option<&StepId>,
    pause: &CancellationToken,
    asked_by: &str,
) -> Result<Outcome, RunError> {
    let mut order = running.ledger.order();
    if let Some(to) = to {
        let at = order.iter().position(|id| id == to).map_or(0, |at| at + 1);
        order.drain(..at);
    }
    for id in order.iter().rev() {
        if pause.is_cancelled() {
            return paused(running, PauseReason::Requested { by: asked_by.to_owned() }, id);
        }
        let Some(step) = running.plan.step(id) else { continue };
        if let Undo::PointOfNoReturn { reason } = &step.undo {
            return Ok(Outcome::NoWayBack { step: id.clone(), reason: reason.clone() });
        }
        match drive::backward(running, step).await {
            Ok(()) => {}
            Err(StepError::Journal(error)) => return Err(error.into()),
            Err(StepError::Lock(error)) => return Err(error.into()),
            Err(StepError::Paused) => {
                return paused(running, PauseReason::Requested { by: asked_by.to_owned() }, id);
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
