//! All machines and their state: what a cloud keeps.
//!
//! Every call that changes something is fenced by the caller's lock epoch, repeatable under its
//! operation id, and recorded when it really did something, so that a test can tell that each
//! effect happened once.

mod lifecycle;
mod snapshots;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::snapshots::Snapshot;
use super::access::ApiAccess;
use super::cni::keyspace::Keyspace;
use super::durations::Durations;
use super::etcd::Etcd;
use super::host::{CommandOutput, FileEntry, HostHandle};
use super::machine::Machine;
use super::machine_api::{
    Denial, Effect, ErrorCode, MachineError, MachineRole, MachineState, MachineView, SnapshotView,
};
use super::program::Programs;
use super::site::Site;
use crate::clock::Clock;
use crate::families::Families;
use crate::faults::Faults;

/// What a datacenter is made of.
pub struct DatacenterConfig {
    /// The way to the API server.
    pub access: Arc<dyn ApiAccess>,
    /// The time.
    pub clock: Clock,
    /// Decides every id and every random choice.
    pub seed: u64,
    /// How long things take.
    pub durations: Durations,
    /// What runs in the pods that matter.
    pub programs: Programs,
    /// The first two bytes of all machines' addresses, by default 10.200.
    pub network: (u8, u8),
    /// The families of the machines' addresses.
    pub families: Families,
}

impl DatacenterConfig {
    /// A datacenter with default durations, no programs but its own, and addresses in 10.200/16.
    pub fn new(access: Arc<dyn ApiAccess>, clock: Clock, seed: u64) -> Self {
        Self {
            access,
            clock,
            seed,
            durations: Durations::default(),
            programs: Programs::new(),
            network: (10, 200),
            families: Families::V4,
        }
    }
}

/// Who asks, and under which name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// The operation id, empty for calls without one.
    pub operation: &'a str,
    /// The lock epoch; 0 if the caller holds no lock.
    pub epoch: u64,
    /// The cluster that the epoch belongs to; unknown for most calls.
    pub cluster: Option<&'a str>,
    /// The caller's User-Agent.
    pub client: &'a str,
}

/// The least that can be said of a machine.
pub struct Glance<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What it does.
    pub state: MachineState,
    /// The name of its Node, once it has one.
    pub node: Option<String>,
}

struct Record {
    machine: Arc<Machine>,
    state: MachineState,
    labels: BTreeMap<String, String>,
    run: Option<String>,
    cluster: Option<String>,
    role: MachineRole,
    created_at: String,
}

#[derive(Clone)]
struct Operation {
    arguments: String,
    subject: String,
    output: Option<CommandOutput>,
}

#[derive(Default)]
struct State {
    machines: BTreeMap<String, Record>,
    snapshots: BTreeMap<String, Snapshot>,
    operations: BTreeMap<String, Operation>,
    fences: BTreeMap<String, u64>,
    effects: Vec<Effect>,
    denials: VecDeque<Denial>,
    made: u32,
}

/// How many of the last denied calls are kept: whoever was fenced off may go on asking.
const DENIALS_KEPT: usize = 1_000;

pub(crate) struct Inner {
    pub(crate) site: Arc<Site>,
    network: (u8, u8),
    families: Families,
    state: Mutex<State>,
    acts: watch::Sender<usize>,
}

/// The machines of a simulated datacenter. Clones see the same ones.
#[derive(Clone)]
pub struct Datacenter(Arc<Inner>);

impl Datacenter {
    /// An empty datacenter.
    pub fn new(config: DatacenterConfig) -> Self {
        let etcd = Etcd::default();
        let faults = match config.access.server() {
            Some(server) => server.faults().clone(),
            None => Faults::new(config.seed),
        };
        let durations = Arc::new(config.durations);
        let programs = super::control_plane::programs(&etcd).and(config.programs);
        let site = Arc::new(Site {
            access: config.access,
            clock: config.clock,
            seed: config.seed,
            durations,
            programs,
            keyspace: Keyspace::new(etcd.clone(), config.clock, config.seed),
            etcd,
            faults,
            tasks: TaskTracker::new(),
            cancel: CancellationToken::new(),
        });
        let datacenter = Self(Arc::new(Inner {
            site,
            network: config.network,
            families: config.families,
            state: Mutex::default(),
            acts: watch::channel(0).0,
        }));
        datacenter.watch_faults();
        datacenter
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The control planes' etcd.
    pub fn etcd(&self) -> &Etcd {
        &self.0.site.etcd
    }

    /// Faults on demand: the API server's own if it is embedded. Their subject is a machine's name.
    pub fn faults(&self) -> &Faults {
        &self.0.site.faults
    }

    /// How long things take here.
    pub fn durations(&self) -> &Arc<Durations> {
        &self.0.site.durations
    }

    /// The machine API as a Router, with paths under `/machines/v1`.
    pub fn router(&self) -> axum::Router {
        super::machine_api::router(self.clone())
    }

    /// Switches every machine off and waits until nothing of the datacenter runs.
    pub async fn shutdown(&self) {
        self.0.site.cancel.cancel();
        self.0.site.tasks.close();
        self.0.site.tasks.wait().await;
    }

    /// Everything that was really done, in order.
    pub fn effects(&self) -> Vec<Effect> {
        self.state().effects.clone()
    }

    /// The same without the first ones.
    pub fn effects_after(&self, first: usize) -> Vec<Effect> {
        self.state().effects.get(first..).unwrap_or_default().to_vec()
    }

    /// Tells how many effects there are, whenever there is one more.
    pub fn acts(&self) -> watch::Receiver<usize> {
        self.0.acts.subscribe()
    }

    /// The last calls that were denied for an old epoch, in order.
    pub fn denials(&self) -> Vec<Denial> {
        self.state().denials.iter().cloned().collect()
    }

    /// All machines that were not deleted, by id.
    pub fn machines(&self) -> Vec<MachineView> {
        let state = self.state();
        state.machines.values().map(|record| self.view(record)).collect()
    }

    /// What somebody takes from each machine at a glance: [`Datacenter::machines`] copies all there is to each.
    pub fn glances<T>(&self, take: impl Fn(Glance<'_>) -> Option<T>) -> Vec<T> {
        let state = self.state();
        let glance = |record: &Record| {
            let Record { machine, state, .. } = record;
            take(Glance { id: &machine.id, name: &machine.name, state: *state, node: machine.node_name() })
        };
        state.machines.values().filter_map(glance).collect()
    }

    /// One machine.
    ///
    /// # Errors
    /// There is none with this id.
    pub fn machine(&self, id: &str) -> Result<MachineView, MachineError> {
        let state = self.state();
        let record = state.machines.get(id).ok_or_else(|| MachineError::not_found("machine", id))?;
        Ok(self.view(record))
    }

    /// A machine's inside, for scenarios and observers.
    ///
    /// # Errors
    /// There is none with this id.
    pub fn host(&self, id: &str) -> Result<HostHandle, MachineError> {
        Ok(self.inside(id)?.host.clone())
    }

    /// What a machine's screen has shown.
    ///
    /// # Errors
    /// There is none with this id.
    pub fn console(&self, id: &str) -> Result<String, MachineError> {
        Ok(self.inside(id)?.console())
    }

    /// All snapshots, by id.
    pub fn snapshots(&self) -> Vec<SnapshotView> {
        self.state().snapshots.values().map(Snapshot::view).collect()
    }

    /// From now on every change with a lower epoch for this cluster is denied.
    ///
    /// # Errors
    /// A higher epoch is known already.
    pub fn fence(&self, cluster: &str, epoch: u64) -> Result<(), MachineError> {
        let caller = Caller { epoch, cluster: Some(cluster), ..Caller::default() };
        self.state().admit(&caller, None)
    }

    fn inside(&self, id: &str) -> Result<Arc<Machine>, MachineError> {
        let state = self.state();
        let record = state.machines.get(id).ok_or_else(|| MachineError::not_found("machine", id))?;
        Ok(record.machine.clone())
    }

    /// Runs a command on a machine; with an operation id, once.
    ///
    /// # Errors
    /// No such machine, it is not running, an older epoch, or the id was used for another command.
    pub async fn run(
        &self,
        id: &str,
        argv: &[String],
        stdin: &[u8],
        caller: Caller<'_>,
    ) -> Result<CommandOutput, MachineError> {
        let machine = self.reachable(id)?;
        if self.0.site.strikes("host-command-fails", &machine.name).is_some() {
            return Ok(CommandOutput::fail(1, "a fault was raised"));
        }
        let arguments = format!("run {id} {argv:?}");
        {
            let mut state = self.state();
            // A command without an operation id only reads: whoever asks may, whatever the epoch.
            if !caller.operation.is_empty() {
                state.admit(&caller, Some(id))?;
            }
            if let Some(done) = state.repeated(caller.operation, &arguments)? {
                return Ok(done.output.unwrap_or_default());
            }
        }
        let power = machine.power();
        let output = tokio::select! {
            biased;
            () = power.cancelled() => {
                return Err(MachineError::new(ErrorCode::Unavailable, format!("machine {id} went down")));
            }
            output = super::host::run(&machine, argv, stdin) => output,
        };
        if !caller.operation.is_empty() {
            let mut state = self.state();
            state.remember(caller.operation, arguments, id, Some(output.clone()));
            self.record(&mut state, &caller, "run", id);
        }
        Ok(output)
    }

    /// Writes a file of a machine, or removes it (`content` absent).
    ///
    /// # Errors
    /// No such machine, it is not running, an older epoch, or something is in the way.
    pub fn write_file(
        &self,
        id: &str,
        path: &str,
        content: Option<(&[u8], u32)>,
        caller: Caller<'_>,
    ) -> Result<(), MachineError> {
        let machine = self.reachable(id)?;
        let mut state = self.state();
        state.admit(&caller, Some(id))?;
        let files = machine.host.files();
        let there = files.read(path);
        let changes = match (&there, content) {
            (Some(file), Some((content, mode))) => *file.content != *content || file.mode != mode,
            (there, content) => there.is_some() != content.is_some(),
        };
        match content {
            Some((content, mode)) => files
                .write(path, content, mode)
                .map_err(|error| MachineError::new(ErrorCode::Invalid, error.to_string()))?,
            None => {
                files.remove(path);
            }
        }
        if changes {
            let effect = if content.is_some() { "write" } else { "remove" };
            self.record(&mut state, &caller, effect, &format!("{id}:{path}"));
        }
        Ok(())
    }

    /// Reads a file of a machine that runs.
    ///
    /// # Errors
    /// No such machine or file, or the machine is not running.
    pub fn read_file(&self, id: &str, path: &str) -> Result<FileEntry, MachineError> {
        let machine = self.reachable(id)?;
        let file = machine.host.files().read(path);
        file.ok_or_else(|| MachineError::not_found("file", path))
    }

    fn reachable(&self, id: &str) -> Result<Arc<Machine>, MachineError> {
        let machine = self.running(id)?;
        match self.0.site.strikes("host-unreachable", &machine.name) {
            Some(_) => {
                Err(MachineError::new(ErrorCode::Unavailable, format!("machine {id} can't be reached")))
            }
            None => Ok(machine),
        }
    }

    fn running(&self, id: &str) -> Result<Arc<Machine>, MachineError> {
        let machine = self.inside(id)?;
        if machine.is_on() {
            Ok(machine)
        } else {
            Err(MachineError::new(ErrorCode::Unavailable, format!("machine {id} is not running")))
        }
    }

    fn view(&self, record: &Record) -> MachineView {
        let machine = &record.machine;
        let identity = machine.host.identity();
        let registered = match record.role {
            MachineRole::ControlPlane => Some(self.0.site.etcd.is_registered(&machine.id)),
            MachineRole::Worker => None,
        };
        MachineView {
            id: machine.id.clone(),
            name: machine.name.clone(),
            provider_id: machine.provider_id.clone(),
            state: record.state,
            addresses: identity.addresses.iter().map(ToString::to_string).collect(),
            system_uuid: identity.system_uuid.clone(),
            run: record.run.clone(),
            labels: record.labels.clone(),
            created_at: record.created_at.clone(),
            node: machine.node_name(),
            role: record.role,
            registered,
        }
    }

    fn record(&self, state: &mut State, caller: &Caller<'_>, effect: &str, subject: &str) {
        state.effects.push(Effect {
            operation: caller.operation.to_owned(),
            effect: effect.to_owned(),
            subject: subject.to_owned(),
            at: self.0.site.clock.micro_now(),
            client: caller.client.to_owned(),
        });
        self.0.acts.send_replace(state.effects.len());
    }

    fn refused(&self, machine: &str) -> Result<(), MachineError> {
        match self.0.site.strikes("machine-api-unavailable", machine) {
            Some(_) => Err(MachineError::new(ErrorCode::Unavailable, "the service is unavailable")),
            None => Ok(()),
        }
    }

    /// Whether the answer to a call about a machine is lost.
    pub(crate) fn loses_answer(&self, machine: &str) -> bool {
        self.0.site.strikes("machine-api-lost-response", machine).is_some()
    }

    /// The name by which a fault knows the machine with this id.
    pub(crate) fn name_of(&self, id: &str) -> String {
        let state = self.state();
        state.machines.get(id).map_or_else(|| id.to_owned(), |record| record.machine.name.clone())
    }

    /// Machines that a fault makes vanish fail as soon as it is raised.
    fn watch_faults(&self) {
        let (datacenter, site) = (self.clone(), self.0.site.clone());
        let mut changes = site.faults.changed();
        site.clone().tasks.spawn(async move {
            loop {
                let running = datacenter.machines().into_iter().filter(|m| m.state == MachineState::Running);
                for machine in running {
                    if site.strikes("machine-vanishes", &machine.name).is_some() {
                        // It was there a moment ago, and nothing else runs in between.
                        let _ = datacenter.kill(&machine.id);
                    }
                }
                tokio::select! {
                    biased;
                    () = site.cancel.cancelled() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                }
            }
        });
    }

    /// A machine's addresses, IPv4 first.
    fn addresses(&self, number: u32) -> Vec<IpAddr> {
        let (a, b) = self.0.network;
        let families = self.0.families;
        let v4 = Ipv4Addr::new(a, b, (1 + number / 250) as u8, (2 + number % 250) as u8);
        let v6 = Ipv6Addr::new(0xfd00, u16::from(a), u16::from(b), 0, 0, 0, 0, 0x102 + number as u16);
        let of = |wanted: bool, address: IpAddr| wanted.then_some(address);
        [of(families.v4(), v4.into()), of(families.v6(), v6.into())].into_iter().flatten().collect()
    }
}

impl State {
    /// Lets a caller's epoch through, and keeps it.
    fn admit(&mut self, caller: &Caller<'_>, machine: Option<&str>) -> Result<(), MachineError> {
        let of_machine =
            machine.and_then(|id| self.machines.get(id)).and_then(|record| record.cluster.clone());
        let cluster = caller.cluster.map(str::to_owned).or(of_machine);
        let known = match &cluster {
            Some(cluster) => self.fences.get(cluster).copied(),
            // A machine that nobody assigned to a cluster obeys every fence.
            None => self.fences.values().max().copied(),
        };
        if let Some(known) = known.filter(|known| caller.epoch < *known) {
            self.denials.push_back(Denial {
                operation: caller.operation.to_owned(),
                epoch: caller.epoch,
                known,
                client: caller.client.to_owned(),
            });
            if self.denials.len() > DENIALS_KEPT {
                self.denials.pop_front();
            }
            let message = format!("epoch {} is older than {known}: another run holds the lock", caller.epoch);
            return Err(MachineError::new(ErrorCode::Denied, message));
        }
        if let Some(cluster) = cluster {
            let fence = self.fences.entry(cluster).or_default();
            *fence = (*fence).max(caller.epoch);
        }
        Ok(())
    }

    /// What this operation did before, if it is a repetition.
    fn repeated(&self, operation: &str, arguments: &str) -> Result<Option<Operation>, MachineError> {
        match self.operations.get(operation) {
            None => Ok(None),
            Some(_) if operation.is_empty() => Ok(None),
            Some(done) if done.arguments == arguments => Ok(Some(done.clone())),
            Some(_) => Err(MachineError::new(
                ErrorCode::AlreadyExists,
                format!("operation {operation} was used with other arguments"),
            )),
        }
    }

    fn remember(&mut self, operation: &str, arguments: String, subject: &str, output: Option<CommandOutput>) {
        if !operation.is_empty() {
            let done = Operation { arguments, subject: subject.to_owned(), output };
            self.operations.insert(operation.to_owned(), done);
        }
    }
}
