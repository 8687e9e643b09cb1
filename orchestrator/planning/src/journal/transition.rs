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

#[cfg(test)]
mod tests {
    use super::Event::{Fail, Learn, Start, Succeed, UndoFail, UndoStart, UndoSucceed, Wait};
    use super::StepPhase::{Failed, Pending, Started, Stuck, Succeeded, Undoing, Undone};
    use super::*;

    const PHASES: [StepPhase; 7] = [Pending, Started, Failed, Succeeded, Undoing, Stuck, Undone];
    const EVENTS: [Event; 8] = [Start, Wait, Learn, Succeed, Fail, UndoStart, UndoSucceed, UndoFail];

    /// What may follow what, written down a second time: for each phase its events, and where each leads.
    const LEGAL: [(StepPhase, &[(Event, StepPhase)]); 7] = [
        (Pending, &[(Start, Started), (Wait, Pending)]),
        (
            Started,
            &[
                (Start, Started),
                (Wait, Started),
                (Learn, Started),
                (Succeed, Succeeded),
                (Fail, Failed),
                (UndoStart, Undoing),
            ],
        ),
        (Failed, &[(Start, Started), (Wait, Failed), (UndoStart, Undoing)]),
        (Succeeded, &[(UndoStart, Undoing)]),
        (Undoing, &[(Wait, Undoing), (UndoStart, Undoing), (UndoSucceed, Undone), (UndoFail, Stuck)]),
        (Stuck, &[(UndoStart, Undoing)]),
        (Undone, &[(Start, Started), (Wait, Undone)]),
    ];

    fn written(from: StepPhase, event: Event) -> Option<StepPhase> {
        let (_, events) = LEGAL.iter().find(|(phase, _)| *phase == from)?;
        events.iter().find(|(e, _)| *e == event).map(|(_, to)| *to)
    }

    #[test]
    fn every_pair_leads_where_it_is_written_and_every_other_pair_is_an_error() {
        for from in PHASES {
            for event in EVENTS {
                let expected = written(from, event).ok_or(IllegalTransition { from, event });
                assert_eq!(from.next(event), expected, "{from:?} {event:?}");
            }
        }
    }

    #[test]
    fn every_phase_can_be_reached_and_left() {
        for phase in PHASES {
            let reached = PHASES.iter().any(|from| EVENTS.iter().any(|e| from.next(*e) == Ok(phase)));
            let left = EVENTS.iter().any(|e| phase.next(*e).is_ok_and(|to| to != phase));
            assert!(reached && left, "{phase:?}");
        }
    }
}
