//! The one table of legal transitions of a step.

use serde::{Deserialize, Serialize};

/// Where a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepPhase {
    /// Nothing was done.
    #[default]
    Pending,
    /// Its act began and has not ended: a resume does it again with what was captured then.
    Started,
    /// Its act failed: a resume or retry does it again.
    Failed,
    /// Its act is done.
    Succeeded,
    /// Its undoing began and has not ended.
    Undoing,
    /// Its undoing failed: someone has to look; it may be tried again.
    Stuck,
    /// It is undone.
    Undone,
}

/// What happens to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// `Started`.
    Start,
    /// `Waiting`.
    Wait,
    /// `Learned`.
    Learn,
    /// `Succeeded`.
    Succeed,
    /// `Failed`.
    Fail,
    /// `UndoStarted`.
    UndoStart,
    /// `UndoSucceeded`.
    UndoSucceed,
    /// `UndoFailed`.
    UndoFail,
}

/// An event that can't happen to a step in its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a step that is {from:?} can't {event:?}")]
pub struct IllegalTransition {
    /// Where the step was.
    pub from: StepPhase,
    /// What was to happen.
    pub event: Event,
}

impl StepPhase {
    /// Where an event leads. Every pair that is not listed is an error.
    ///
    /// # Errors
    /// When the event can't happen in this phase.
    pub fn next(self, event: Event) -> Result<Self, IllegalTransition> {
        use Event as E;
        use StepPhase as P;
        match (self, event) {
            // A second start without an end between is a resume after a crash.
            (P::Pending | P::Started | P::Failed | P::Undone, E::Start) => Ok(P::Started),
            // A step may wait before its act begins, while it runs and before it is tried again.
            (P::Pending | P::Started | P::Failed | P::Undone | P::Undoing, E::Wait) => Ok(self),
            (P::Started, E::Learn) => Ok(P::Started),
            (P::Started, E::Succeed) => Ok(P::Succeeded),
            (P::Started, E::Fail) => Ok(P::Failed),
            (P::Started | P::Failed | P::Succeeded | P::Undoing | P::Stuck, E::UndoStart) => Ok(P::Undoing),
            (P::Undoing, E::UndoSucceed) => Ok(P::Undone),
            (P::Undoing, E::UndoFail) => Ok(P::Stuck),
            (from, event) => Err(IllegalTransition { from, event }),
        }
    }
}
