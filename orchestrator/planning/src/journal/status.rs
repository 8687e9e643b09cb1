//! Where a run stands, in the few words that people and scripts ask for.

use super::{RunPhase, RunState, StepPhase};
use crate::ids::{SlotId, StepId};
use crate::plan::Plan;
use replank_provider_protocol::Replacement;
use serde::{Deserialize, Serialize};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// What it does.
    pub state: Standing,
    /// Why, where it is paused or stuck.
    #[serde(default)]
    pub reason: Option<String>,
    /// The step that it is at: the first in the plan's order that was begun and is not over.
    pub step: Option<StepId>,
    /// The node that this step is for.
    pub node: Option<SlotId>,
    /// What it waits for.
    pub waiting_for: Option<WaitingFor>,
    /// How far it is.
    pub nodes: NodeCount,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Nothing was done yet.
    New,
    /// A process carries it out.
    Running,
    /// Its process ended without a word; the same command goes on.
    Interrupted,
    /// It waits for a person.
    Paused,
    /// Undoing a step failed: someone has to look.
    Stuck,
    /// Every step has succeeded.
    Finished,
    /// Everything that could be undone is undone.
    RolledBack,
    /// The way back is given up.
    Finalized,
}

/// What a run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingFor {
    /// The reason's stable name.
    pub code: String,
    /// Its sentence.
    pub message: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// How many nodes there are, and how many are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCount {
    /// All of the plan's.
    pub total: usize,
    /// Those whose every step has succeeded.
    pub replaced: usize,
    /// Those of all whose own machine is joined again, for which there is no way back.
    #[serde(default, rename = "inPlace", skip_serializing_if = "is_none")]
    pub in_place: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Status {
    /// The status that a run's state tells. Whether a process is at work is not in the journal: a run
    /// that was at work when the journal ended is `Running`.
    pub fn of(plan: &Plan, state: &RunState) -> Self {
        let succeeded = |id: &StepId| state.steps.get(id).is_some_and(|r| r.phase == StepPhase::Succeeded);
        let replaced = plan.slots.iter().filter(|slot| {
            let mut steps = plan.steps.iter().filter(|s| s.slot.as_ref() == Some(&slot.id)).peekable();
            steps.peek().is_some() && steps.all(|s| succeeded(&s.id))
        });
        let stopped_at = match &state.phase {
            RunPhase::Paused { step: Some(step), .. } => plan.step(step),
            _ => None,
        };
        let begun = plan.steps.iter().find(|planned| {
            let phase = state.steps.get(&planned.id).map(|r| r.phase);
            phase.is_some_and(|phase| !matches!(phase, StepPhase::Succeeded | StepPhase::Undone))
        });
        let step = stopped_at.or(begun);
        let record = step.and_then(|s| state.steps.get(&s.id));
        let waiting = record.and_then(|r| r.waiting.clone()).or_else(|| state.waiting.clone());
        let stuck = state.steps.values().find(|r| r.phase == StepPhase::Stuck);
        let over = matches!(state.phase, RunPhase::Finished | RunPhase::RolledBack | RunPhase::Finalized);
        Self {
            state: standing(&state.phase, stuck.is_some()),
            reason: match &state.phase {
                RunPhase::Paused { reason, .. } => Some(reason.to_string()),
                _ => stuck.and_then(|r| r.failure.clone()),
            },
            step: step.filter(|_| !over).map(|s| s.id.clone()),
            node: step.filter(|_| !over).and_then(|s| s.slot.clone()),
            waiting_for: waiting.filter(|_| !over).map(|(waiting, since)| WaitingFor {
                code: waiting.code().to_owned(),
                message: waiting.to_string(),
                since,
            }),
            nodes: NodeCount {
                total: plan.slots.len(),
                replaced: replaced.count(),
                in_place: plan.slots.iter().filter(|s| s.replacement == Replacement::InPlace).count(),
            },
        }
    }
}

fn standing(phase: &RunPhase, stuck: bool) -> Standing {
    match phase {
        RunPhase::Running | RunPhase::Paused { .. } if stuck => Standing::Stuck,
        RunPhase::New => Standing::New,
        RunPhase::Running => Standing::Running,
        RunPhase::Paused { .. } => Standing::Paused,
        RunPhase::Finished => Standing::Finished,
        RunPhase::RolledBack => Standing::RolledBack,
        RunPhase::Finalized => Standing::Finalized,
    }
}
