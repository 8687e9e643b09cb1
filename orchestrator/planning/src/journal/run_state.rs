//! The state of a run: a fold over its journal, and the only source of status, resume, rollback
//! and report.

use super::record::{Entry, Record};
use super::transition::{Event, IllegalTransition, StepPhase};
use crate::ids::{Epoch, MachineId, NodeName, SlotId, SnapshotId, StepId, Uid};
use crate::late::{Learned, NodeRef};
use crate::plan::Plan;
use crate::waiting::{PauseReason, Waiting};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum RunPhase {
    /// Nothing was done.
    #[default]
    New,
    /// Steps are under way, or were when the journal ended.
    Running,
    /// It waits for a person.
    Paused {
        /// Why.
        reason: PauseReason,
        /// At which step.
        step: Option<StepId>,
    },
    /// Every step has succeeded.
    Finished,
    /// Everything that could be undone is undone.
    RolledBack,
    /// The way back is given up.
    Finalized,
}

/// One step's history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    /// Where it is.
    pub phase: StepPhase,
    /// How often its act was begun.
    pub attempt: u32,
    /// How often its undoing was begun.
    pub undo_attempt: u32,
    /// What the first start since it was last untouched captured.
    pub before: Option<Value>,
    /// What its success left.
    pub after: Option<Value>,
    /// What it waits for, and since when.
    pub waiting: Option<(Waiting, String)>,
    /// When its act was first begun.
    pub started: Option<String>,
    /// When it last succeeded.
    pub succeeded: Option<String>,
    /// Its last failure.
    pub failure: Option<String>,
}

/// What was learned of a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotFacts {
    /// The replacement's machine.
    pub machine: Option<MachineId>,
    /// The old machine's snapshot.
    pub snapshot: Option<SnapshotId>,
    /// The replacement's Node.
    pub node: Option<(NodeName, Uid)>,
    /// The replacement's address.
    pub address: Option<IpAddr>,
    /// The bootstrap token's public id.
    pub token: Option<String>,
}

/// The state of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunState {
    /// Where it is.
    pub phase: RunPhase,
    /// Every step that the journal names.
    pub steps: BTreeMap<StepId, StepRecord>,
    /// What was learned, by slot.
    pub slots: BTreeMap<SlotId, SlotFacts>,
    /// What the run as a whole waits for, and since when.
    pub waiting: Option<(Waiting, String)>,
    /// The highest epoch seen.
    pub epoch: Epoch,
    /// The number of the last entry.
    pub sequence: u64,
}

/// A journal that contradicts itself.
#[derive(Debug, thiserror::Error)]
#[error("record {sequence} of step {step}: {source}")]
pub struct Contradiction {
    /// Which entry.
    pub sequence: u64,
    /// Which step.
    pub step: StepId,
    /// Why.
    #[source]
    pub source: IllegalTransition,
}

impl RunState {
    /// Folds a whole journal.
    ///
    /// # Errors
    /// When an entry can't follow those before it.
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Self, Contradiction> {
        let mut state = Self::default();
        for entry in entries {
            state.apply(entry)?;
        }
        Ok(state)
    }

    /// Takes in the next entry.
    ///
    /// # Errors
    /// When it can't follow those before it.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Contradiction> {
        self.sequence = entry.sequence;
        self.epoch = self.epoch.max(entry.epoch);
        match &entry.record {
            Record::Resumed => {
                self.phase = RunPhase::Running;
                self.waiting = None;
            }
            Record::Waiting { step: None, waiting } => {
                self.waiting = Some((waiting.clone(), entry.time.clone()));
            }
            Record::Paused { reason, step } => {
                self.phase = RunPhase::Paused { reason: reason.clone(), step: step.clone() };
            }
            Record::Finished => self.phase = RunPhase::Finished,
            Record::RolledBack => self.phase = RunPhase::RolledBack,
            Record::Finalized => self.phase = RunPhase::Finalized,
            record => self.apply_to_step(entry, record)?,
        }
        Ok(())
    }

    /// Whether a record could come next: asked before it is written.
    ///
    /// # Errors
    /// When it can't follow those before it.
    pub fn admits(&self, record: &Record) -> Result<(), IllegalTransition> {
        let Some((step, event)) = step_event(record) else { return Ok(()) };
        let phase = self.steps.get(step).map(|s| s.phase).unwrap_or_default();
        phase.next(event).map(drop)
    }

    /// A step's record; a fresh one if the journal does not name it.
    pub fn step(&self, id: &StepId) -> StepRecord {
        self.steps.get(id).cloned().unwrap_or_default()
    }

    /// Steps that can begin now: not yet succeeded, with everything before them succeeded.
    pub fn ready<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a crate::plan::PlannedStep> {
        let done = |id: &StepId| self.steps.get(id).is_some_and(|s| s.phase == StepPhase::Succeeded);
        plan.steps.iter().filter(move |s| !done(&s.id) && s.after.iter().all(done))
    }

    /// The steps at which a way back may end, in the plan's order: those that were begun, and whose undoing was not.
    pub fn may_stay<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a StepId> {
        let stays = |id: &StepId| {
            matches!(self.step(id).phase, StepPhase::Started | StepPhase::Failed | StepPhase::Succeeded)
        };
        plan.steps.iter().map(|s| &s.id).filter(move |id| stays(id))
    }

    /// A step whose undoing began and did not end: only the way back goes on from there.
    pub fn half_undone(&self) -> Option<&StepId> {
        let half = |record: &StepRecord| matches!(record.phase, StepPhase::Undoing | StepPhase::Stuck);
        self.steps.iter().find(|(_, record)| half(record)).map(|(id, _)| id)
    }

    /// The name of a node that a step speaks of, once it is known.
    pub fn node_name(&self, node: &NodeRef) -> Option<NodeName> {
        match node {
            NodeRef::Old { name, .. } => Some(name.clone()),
            NodeRef::New { slot } => self.slots.get(slot)?.node.as_ref().map(|(name, _)| name.clone()),
        }
    }

    fn apply_to_step(&mut self, entry: &Entry, record: &Record) -> Result<(), Contradiction> {
        let Some((step, event)) = step_event(record) else { return Ok(()) };
        let state = self.steps.entry(step.clone()).or_default();
        let was = state.phase;
        state.phase = was.next(event).map_err(|source| Contradiction {
            sequence: entry.sequence,
            step: step.clone(),
            source,
        })?;
        state.take(was, entry, record);
        if let Record::Learned { learned, .. } = record {
            self.slots.entry(learned.slot().clone()).or_default().take(learned);
        }
        Ok(())
    }
}

fn step_event(record: &Record) -> Option<(&StepId, Event)> {
    Some(match record {
        Record::Started { step, .. } => (step, Event::Start),
        Record::Waiting { step: Some(step), .. } => (step, Event::Wait),
        Record::Learned { step, .. } => (step, Event::Learn),
        Record::Succeeded { step, .. } => (step, Event::Succeed),
        Record::Failed { step, .. } => (step, Event::Fail),
        Record::UndoStarted { step, .. } => (step, Event::UndoStart),
        Record::UndoSucceeded { step } => (step, Event::UndoSucceed),
        Record::UndoFailed { step, .. } => (step, Event::UndoFail),
        _ => return None,
    })
}

impl StepRecord {
    fn take(&mut self, was: StepPhase, entry: &Entry, record: &Record) {
        match record {
            Record::Started { attempt, before, .. } => {
                self.attempt = *attempt;
                // The world may have changed since the first try: what it was before is known only from then.
                if matches!(was, StepPhase::Pending | StepPhase::Undone) {
                    self.before = Some(before.clone());
                    self.started = Some(entry.time.clone());
                }
                self.waiting = None;
            }
            Record::Waiting { waiting, .. } => self.waiting = Some((waiting.clone(), entry.time.clone())),
            Record::Succeeded { after, .. } => {
                self.after = Some(after.clone());
                self.succeeded = Some(entry.time.clone());
                self.waiting = None;
                self.failure = None;
            }
            Record::Failed { reason, .. } | Record::UndoFailed { reason, .. } => {
                self.failure = Some(reason.clone());
            }
            Record::UndoStarted { attempt, .. } => self.undo_attempt = *attempt,
            Record::UndoSucceeded { .. } => {
                self.after = None;
                self.succeeded = None;
                self.waiting = None;
            }
            _ => {}
        }
    }
}

impl SlotFacts {
    fn take(&mut self, learned: &Learned) {
        match learned.clone() {
            Learned::Machine { machine, .. } => self.machine = Some(machine),
            Learned::Snapshot { snapshot, .. } => self.snapshot = Some(snapshot),
            Learned::Node { name, uid, address, .. } => {
                self.node = Some((name, uid));
                self.address = address;
            }
            Learned::Token { id, .. } => self.token = Some(id),
        }
    }
}
