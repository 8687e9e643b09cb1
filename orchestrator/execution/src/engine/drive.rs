//! One step: check, capture, record, act, record.

use super::context::Running;
use super::{StepContext, StepError};
use crate::steps;
use replank_planning::journal::{Record, StepPhase};
use replank_planning::plan::PlannedStep;
use replank_planning::waiting::{PauseReason, Waiting};
use std::time::Duration;

/// How often a step that fails is tried by one process before the run pauses.
const TRIES: u32 = 3;
/// The pause before the second try; doubles. Long enough for a webhook or a controller to come back.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Takes one step to its success.
pub(super) async fn forward(running: &Running, step: &PlannedStep) -> Result<(), StepError> {
    let cx = StepContext::new(running, step);
    let act = steps::for_action(&step.action);
    let mut pause = TRY_AGAIN;
    for tries_left in (0..TRIES).rev() {
        match once(&cx, act.as_ref()).await {
            Err(StepError::Failed(reason)) => {
                if running.ledger.state(|s| s.step(&step.id).phase) == StepPhase::Started {
                    running
                        .ledger
                        .record(Record::Failed { step: step.id.clone(), reason: reason.clone() })?;
                }
                if tries_left == 0 {
                    return Err(StepError::Failed(reason));
                }
                cx.waiting(Waiting::Retry { reason })?;
                cx.sleep(pause).await?;
                pause *= 2;
            }
            other => return other,
        }
    }
    Ok(())
}

async fn once(cx: &StepContext<'_>, act: &dyn steps::Step) -> Result<(), StepError> {
    let running = cx.running;
    let id = cx.step.id.clone();
    let record = running.ledger.state(|s| s.step(&id));
    // What was captured before the first try stands: the world may have changed since by our own act.
    let before = match record.phase {
        StepPhase::Pending | StepPhase::Undone => {
            unless_stalled(cx, act, act.check(cx)).await?;
            act.capture(cx).await?
        }
        _ => record.before.unwrap_or_default(),
    };
    cx.permit().await?;
    running.ledger.record(Record::Started {
        step: id.clone(),
        attempt: record.attempt + 1,
        before: before.clone(),
    })?;
    let after = unless_stalled(cx, act, act.apply(cx, &before)).await?;
    running.ledger.record(Record::Succeeded { step: id, after })?;
    Ok(())
}

/// Leaves a step that waits for the same thing for too long. It can be taken up again from there, as after a
/// crash.
async fn unless_stalled<T>(
    cx: &StepContext<'_>,
    act: &dyn steps::Step,
    doing: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    if act.has_deadline() {
        return doing.await;
    }
    tokio::select! {
        biased;
        done = doing => done,
        stalled = cx.stalled() => Err(stalled),
    }
}

/// Takes one step back.
pub(super) async fn backward(running: &Running, step: &PlannedStep) -> Result<(), StepError> {
    let cx = StepContext::new(running, step);
    let act = steps::for_action(&step.action);
    let record = running.ledger.state(|s| s.step(&step.id));
    // Before the lock is looked at: what is waited for and missed from here on is the undoing's.
    running.ledger.record(Record::UndoStarted { step: step.id.clone(), attempt: record.undo_attempt + 1 })?;
    cx.permit().await?;
    let before = record.before.unwrap_or_default();
    if step.undo != replank_planning::plan::Undo::Nothing {
        unless_stalled(&cx, act.as_ref(), act.undo(&cx, &before, record.after.as_ref())).await?;
    }
    running.ledger.record(Record::UndoSucceeded { step: step.id.clone() })?;
    Ok(())
}

/// A step's error as the reason of a pause; the error itself if nothing may be written any more.
pub(super) fn pause_reason(error: StepError) -> Result<PauseReason, StepError> {
    Ok(match error {
        StepError::Refused(refusal) => PauseReason::Refused { refusal },
        StepError::Deadline { waiting, seconds } => PauseReason::Deadline { waiting, seconds },
        StepError::Failed(reason) => PauseReason::StepFailed { reason },
        StepError::Provider(reason) => PauseReason::Provider { reason },
        StepError::Paused | StepError::Journal(_) | StepError::Lock(_) => return Err(error),
    })
}
