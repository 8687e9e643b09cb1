//! What runs made and nobody remembers: found, and deleted under the cluster's lock.

use crate::api::{Api, ApiError};
use crate::lock::{Known, Lock, LockError, last_run};
use crate::world::World;
use replank_planning::ids::{ClusterUid, MachineId, RunId, SnapshotId};
use replank_planning::journal::{RunPhase, RunState};
use replank_planning::plan::Plan;
use replank_planning::waiting::Waiting;
use replank_provider_protocol::verbs::{Deletable, DeleteParams, ListParams, Mutation, Progress};
use replank_provider_protocol::{OperationId, ProviderError, Retry};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::time::Instant;

/// How often a provider that is not done is asked again, and for how long.
const ASK_AGAIN: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_mins(15);

/// A run whose directory was read.
#[derive(Clone, Copy, Debug)]
pub struct Remembered<'a> {
    /// Its plan.
    pub plan: &'a Plan,
    /// What its journal says.
    pub state: &'a RunState,
}

/// What a run made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Made {
    /// A machine that is no Node.
    Machine {
        /// Its id.
        machine: MachineId,
        /// Its name.
        name: String,
    },
    /// A snapshot.
    Snapshot {
        /// Its id.
        snapshot: SnapshotId,
        /// Of which machine.
        machine: MachineId,
    },
}

/// What is known of the run that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// The run is over, and its journal does not name it: nobody needs it.
    Forgotten,
    /// The run is not over, and may still take it up.
    Unfinished,
    /// The run's directory was not read: its way back may need it.
    Unknown,
}

/// Something that a run made, that is no Node and that no journal names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// What.
    #[serde(flatten)]
    pub made: Made,
    /// By which run.
    pub run: RunId,
    /// What is known of that run.
    pub standing: Standing,
}

/// Why orphans could not be looked for or deleted.
#[derive(Debug, thiserror::Error)]
pub enum OrphansError {
    /// The provider.
    #[error("the provider could not list what it made: {0}")]
    Provider(#[from] ProviderError),
    /// The API server.
    #[error("the API server could not be asked: {0}")]
    Api(#[from] ApiError),
    /// A plan.
    #[error("a run's plan has no digest: {0}")]
    Plan(#[from] replank_planning::canonical::NotCanonical),
    /// The lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The provider again.
    #[error("the provider could not delete {what}: {source}")]
    Delete {
        /// What was to be deleted.
        what: String,
        /// Its word.
        source: ProviderError,
    },
}

impl Made {
    fn target(&self) -> Deletable {
        match self {
            Self::Machine { machine, .. } => Deletable::Machine(machine.clone()),
            Self::Snapshot { snapshot, .. } => Deletable::Snapshot(snapshot.clone()),
        }
    }
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Machine { machine, name } => write!(f, "machine {machine} ({name})"),
            Self::Snapshot { snapshot, machine } => write!(f, "snapshot {snapshot} of machine {machine}"),
        }
    }
}

/// What runs on this cluster made, that no Node is and that none of these runs remembers. Machines that
/// replank did not make are never among them.
///
/// # Errors
/// When the provider or the API server can't be asked.
pub async fn orphans(
    world: &World,
    cluster: &ClusterUid,
    remembered: &[Remembered<'_>],
) -> Result<Vec<Orphan>, OrphansError> {
    let listing = world.provider.list(ListParams { run: None, cluster: cluster.to_string() }).await?;
    let nodes = node_ids(&world.api()).await?;
    let memory = Memory::new(remembered)?;
    let machines = listing.machines.into_iter().filter_map(|m| {
        let is_node = m.provider_id.as_ref().is_some_and(|id| nodes.contains(id))
            || m.system_uuid.as_ref().is_some_and(|id| nodes.contains(&id.to_lowercase()));
        let run = m.run.filter(|_| !is_node && !memory.machines.contains(&m.id))?;
        let standing = memory.standing(&run);
        Some(Orphan { made: Made::Machine { machine: m.id, name: m.name }, run, standing })
    });
    let snapshots = listing.snapshots.into_iter().filter_map(|s| {
        let run = s.run.filter(|_| !memory.snapshots.contains(&s.id))?;
        let standing = memory.standing(&run);
        Some(Orphan { made: Made::Snapshot { snapshot: s.id, machine: s.machine }, run, standing })
    });
    Ok(machines.chain(snapshots).collect())
}

/// Every id by which a Node's machine is known.
async fn node_ids(api: &Api) -> Result<BTreeSet<String>, ApiError> {
    let (nodes, _) = api.list("/api/v1/nodes", "").await?;
    let text = |node: &Value, pointer: &str| {
        node.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let ids = nodes
        .iter()
        .flat_map(|n| [text(n, "/spec/providerID"), text(n, "/status/nodeInfo/systemUUID").to_lowercase()]);
    Ok(ids.filter(|id| !id.is_empty()).collect())
}

/// What the runs remember.
struct Memory {
    machines: BTreeSet<MachineId>,
    snapshots: BTreeSet<SnapshotId>,
    over: BTreeMap<RunId, bool>,
}

impl Memory {
    fn new(runs: &[Remembered<'_>]) -> Result<Self, OrphansError> {
        let mut memory =
            Self { machines: BTreeSet::new(), snapshots: BTreeSet::new(), over: BTreeMap::new() };
        for Remembered { plan, state } in runs {
            let facts = || state.slots.values();
            memory.machines.extend(facts().filter_map(|f| f.machine.clone()));
            memory.snapshots.extend(facts().filter_map(|f| f.snapshot.clone()));
            if state.phase != RunPhase::Finalized {
                // An earlier run may have made the machines that this one keeps for its way back.
                memory.machines.extend(plan.slots.iter().map(|slot| slot.old.machine.clone()));
            }
            let over = matches!(state.phase, RunPhase::Finished | RunPhase::RolledBack | RunPhase::Finalized);
            memory.over.insert(plan.run_id()?, over);
        }
        Ok(memory)
    }

    fn standing(&self, run: &RunId) -> Standing {
        match self.over.get(run) {
            Some(true) => Standing::Forgotten,
            Some(false) => Standing::Unfinished,
            None => Standing::Unknown,
        }
    }
}

/// Deletes orphans under the cluster's lock, with an epoch of its own: whoever held the lock before is refused
/// from then on. What has become a Node or was taken up while the lock was waited for stays. Answers what
/// was deleted.
///
/// # Errors
/// When the lock can't be had or is lost, or something can't be deleted: asking again goes on.
pub async fn collect(
    world: &World,
    cluster: &ClusterUid,
    remembered: &[Remembered<'_>],
    doomed: &[Orphan],
    holder: String,
    mut on_wait: impl FnMut(Waiting),
) -> Result<Vec<Orphan>, OrphansError> {
    // The Lease goes on telling how far its last run has come, so that a stale copy of it stays refused.
    let (run, records) = last_run(&world.api()).await?.unwrap_or((RunId::new("gc"), 0));
    let known = Known { records: Arc::new(AtomicU64::new(records)), ..Known::default() };
    let lock = Lock::acquire(world.api(), world.clock.clone(), holder, run, known, &mut on_wait).await?;
    let work = async {
        let mut gone = Vec::new();
        for orphan in orphans(world, cluster, remembered).await? {
            if doomed.contains(&orphan) {
                delete(world, cluster, &lock, &orphan, &mut on_wait).await?;
                gone.push(orphan);
            }
        }
        Ok(gone)
    };
    let outcome = tokio::select! {
        biased;
        lost = lock.keep() => Err(lost.into()),
        outcome = work => outcome,
    };
    lock.release().await;
    outcome
}

async fn delete(
    world: &World,
    cluster: &ClusterUid,
    lock: &Lock,
    orphan: &Orphan,
    on_wait: &mut impl FnMut(Waiting),
) -> Result<(), OrphansError> {
    let what = orphan.made.to_string();
    let params = DeleteParams {
        mutation: Mutation {
            operation: OperationId::new(format!("{}/gc/{what}", orphan.run)),
            run: orphan.run.clone(),
            cluster: cluster.to_string(),
            epoch: lock.epoch(),
        },
        target: orphan.made.target(),
    };
    let since = Instant::now();
    loop {
        lock.permit(|| ()).await?;
        let message = match world.provider.delete(params.clone()).await {
            Ok(Progress::Done { .. }) => return Ok(()),
            Ok(Progress::Pending { message }) => message,
            Err(error) if error.retry == Retry::MayHelp && since.elapsed() < PATIENCE => error.message,
            Err(source) => return Err(OrphansError::Delete { what, source }),
        };
        on_wait(Waiting::Provider { verb: format!("delete {what}"), message });
        tokio::time::sleep(ASK_AGAIN).await;
    }
}
