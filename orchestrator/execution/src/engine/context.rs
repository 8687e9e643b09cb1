//! All that a step may touch: the plan's names, the journal's facts, the run's backup. Its waits, its requests and
//! the provider are in files of their own.

use super::waits::Waits;
use super::{RunEvent, StepError};
use crate::api::Api;
use crate::guards::Guard;
use crate::journal::Ledger;
use crate::lock::Lock;
use crate::run_dir::{Backup, RunDir};
use crate::world::World;
use replank_planning::ids::{ClusterUid, MachineId, NodeName, RunId, SlotId, Uid};
use replank_planning::journal::Record;
use replank_planning::late::{Learned, NodeRef};
use replank_planning::plan::{Plan, PlannedStep, Slot};
use serde_json::Value;
use std::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

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
    pub(super) waits: Mutex<Waits>,
}

impl<'a> StepContext<'a> {
    pub(crate) fn new(running: &'a Running, step: &'a PlannedStep) -> Self {
        Self { running, step, waits: Mutex::new(Waits::new()) }
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

    /// Which try of the step this is: commands on hosts are told apart by it, because a host remembers how
    /// a command ended, failures too.
    pub fn attempt(&self) -> u32 {
        self.running.ledger.state(|s| s.steps.get(&self.step.id).map_or(0, |s| s.attempt))
    }
}
