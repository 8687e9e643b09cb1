//! Giving up the way back.

use crate::engine::context::Running;
use crate::engine::outcome::RunError;
use crate::engine::{Engine, run};
use replank_planning::ids::{MachineId, SlotId, SnapshotId};
use replank_planning::journal::{Record, RunPhase, RunState, StepPhase};
use replank_planning::plan::{Action, Plan};
use replank_planning::waiting::Waiting;
use replank_provider_protocol::verbs::{Deletable, DeleteParams, Mutation, Progress};
use replank_provider_protocol::{Keeping, OperationId, ProviderError, Replacement, Retry};
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// How often a provider that is not done is asked again, and for how long.
const ASK_AGAIN: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_mins(15);

/// Something that only a rollback would need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Retained {
    /// A stopped machine.
    Machine {
        /// Whose place was taken.
        slot: SlotId,
        /// Its id.
        machine: MachineId,
    },
    /// A snapshot of a machine.
    Snapshot {
        /// Of whose machine.
        slot: SlotId,
        /// Its id.
        snapshot: SnapshotId,
    },
}

/// Everything that a run keeps for its way back: what `finalize` destroys, besides the run's backup.
pub fn retained(plan: &Plan, state: &RunState) -> Vec<Retained> {
    let stopped = |slot: &SlotId| {
        plan.steps.iter().any(|step| match &step.action {
            Action::StopMachine(act) => {
                act.slot == *slot
                    && state.steps.get(&step.id).is_some_and(|r| r.phase == StepPhase::Succeeded)
            }
            _ => false,
        })
    };
    let machines = plan
        .slots
        .iter()
        // A machine that was joined again in place is the cluster's own.
        .filter(|s| {
            s.replacement == Replacement::Fresh && s.old.keeping == Keeping::Stopped && stopped(&s.id)
        })
        .map(|s| Retained::Machine { slot: s.id.clone(), machine: s.old.machine.clone() });
    let snapshots = state.slots.iter().filter_map(|(slot, facts)| {
        Some(Retained::Snapshot { slot: slot.clone(), snapshot: facts.snapshot.clone()? })
    });
    machines.chain(snapshots).collect()
}

/// Why a run can't be finalized.
#[derive(Debug, thiserror::Error)]
pub enum FinalizeError {
    /// It is not over.
    #[error(
        "the run is not over: finish it with `replank apply`, or take it back with `replank rollback`, then finalize"
    )]
    NotOver,
    /// The run's directory, journal, lock or cluster.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The provider refuses.
    #[error("the provider could not delete {what}: {source}")]
    Provider {
        /// What was to be deleted.
        what: String,
        /// Its word.
        source: ProviderError,
    },
}

impl Engine {
    /// Deletes everything that is kept for the way back, the run's backup at last; answers what it was. On a
    /// finalized run it does nothing.
    ///
    /// # Errors
    /// When the run is not over, or something can't be deleted: asking again goes on.
    pub async fn finalize(self) -> Result<Vec<Retained>, FinalizeError> {
        if self.phase()? == Some(RunPhase::Finalized) {
            return Ok(Vec::new());
        }
        let running = self.begin().await?;
        let doomed = async {
            let state = running.ledger.state(Clone::clone);
            let untouched = running.ledger.order().is_empty();
            if !run::done(&running) && !untouched {
                return Err(FinalizeError::NotOver);
            }
            let retained = retained(&running.plan, &state);
            for what in &retained {
                delete(&running, what).await?;
            }
            running.run_dir.drop_backups().map_err(RunError::from)?;
            running.ledger.record(Record::Finalized).map_err(RunError::from)?;
            Ok(retained)
        };
        let outcome = tokio::select! {
            biased;
            lost = running.lock.keep() => Err(RunError::from(lost).into()),
            outcome = doomed => outcome,
        };
        running.lock.release().await;
        outcome
    }
}

async fn delete(running: &Running, what: &Retained) -> Result<(), FinalizeError> {
    let (name, target) = match what {
        Retained::Machine { machine, .. } => {
            (format!("machine {machine}"), Deletable::Machine(machine.clone()))
        }
        Retained::Snapshot { snapshot, .. } => {
            (format!("snapshot {snapshot}"), Deletable::Snapshot(snapshot.clone()))
        }
    };
    let params = DeleteParams {
        mutation: Mutation {
            operation: OperationId::new(format!("{}/finalize/{name}", running.run)),
            run: running.run.clone(),
            cluster: running.cluster.to_string(),
            epoch: running.lock.epoch(),
        },
        target,
    };
    let since = Instant::now();
    loop {
        running.lock.permit(|| ()).await.map_err(RunError::from)?;
        let message = match running.world.provider.delete(params.clone()).await {
            Ok(Progress::Done { .. }) => return Ok(()),
            Ok(Progress::Pending { message }) => message,
            Err(error) if error.retry == Retry::MayHelp && since.elapsed() < PATIENCE => error.message,
            Err(source) => return Err(FinalizeError::Provider { what: name, source }),
        };
        let waiting = Waiting::Provider { verb: format!("delete {name}"), message };
        // Nobody may be watching.
        let _ = running.events.send(crate::engine::RunEvent::Waiting { step: None, waiting });
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
