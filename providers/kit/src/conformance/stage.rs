//! A case's own cluster, run and machines, and what it asks with.

use super::case::{Stop, ensure};
use super::subject::{Session, Subject};
use super::suite::Options;
use crate::Provider;
use replank_provider_protocol::rpc::CALL_SECONDS;
use replank_provider_protocol::verbs::{
    CreateParams, Deletable, DeleteParams, GetParams, ListParams, Listing, MachineParams, MachineSpec,
    Mutation, Progress,
};
use replank_provider_protocol::{
    Epoch, ErrorCode, Machine, MachineId, MachineState, OperationId, ProviderError, Retry, Role, RunId,
    Snapshot,
};
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::Instant;

/// How soon a provider is asked again, at first: a provider can't be watched.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// How late it is asked again at most.
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// The epoch of a case's calls.
pub(super) const EPOCH: u64 = 7;

/// The epoch under which a case's things are taken away: higher than every epoch of a case.
const CLEANING_EPOCH: u64 = 1_000_000;

/// User-data that does nothing, in base64: `#cloud-config`, a comment, an empty map.
pub(super) const USER_DATA: &str = "I2Nsb3VkLWNvbmZpZwojIHJlcGxhbmsgY2hlY2sKe30K";

/// Where a case plays.
pub(super) struct Stage<'a> {
    pub(super) subject: &'a Subject,
    pub(super) session: &'a Session,
    pub(super) options: &'a Options,
    like: Option<&'a MachineId>,
    number: usize,
    /// The case's own cluster, in the form of a uid.
    pub(super) cluster: String,
    /// A second one, for what must not reach from one cluster into another.
    pub(super) other_cluster: String,
    /// Its run.
    pub(super) run: RunId,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        subject: &'a Subject,
        session: &'a Session,
        options: &'a Options,
        like: Option<&'a MachineId>,
        number: usize,
    ) -> Self {
        let seed = options.seed;
        let uid = |variant: &str| {
            let (high, middle, low) = ((seed >> 32) as u32, (seed >> 16) as u16, seed & 0xffff_ffff_ffff);
            format!("{high:08x}-{middle:04x}-4{number:03x}-{variant}-{low:012x}")
        };
        let (cluster, other_cluster) = (uid("8000"), uid("9000"));
        let run = RunId::new(format!("check-{:08x}-{number:03}", seed as u32));
        Self { subject, session, options, like, number, cluster, other_cluster, run }
    }

    pub(super) fn provider(&self) -> &'a dyn Provider {
        self.session.provider()
    }

    /// The machine that others are modelled on.
    pub(super) fn like(&self) -> Result<MachineId, Stop> {
        self.like.cloned().ok_or_else(|| Stop::Skipped("there is no machine to model others on".into()))
    }

    /// Another provider on the same backend, as another run would start it.
    pub(super) async fn another(&self) -> Result<Session, Stop> {
        self.subject
            .start()
            .await
            .map_err(|e| Stop::failed(format!("a second one could not be started: {e}")))
    }

    pub(super) fn mutation(&self, operation: &str) -> Mutation {
        Mutation {
            operation: OperationId::new(format!("{}/{operation}", self.run)),
            run: self.run.clone(),
            cluster: self.cluster.clone(),
            epoch: Epoch(EPOCH),
        }
    }

    /// A name for a machine that no other case uses.
    pub(super) fn name(&self, what: &str) -> String {
        format!("rp-check-{:04x}-{:03}-{what}", self.options.seed as u16, self.number)
    }

    pub(super) fn create_params(&self, what: &str) -> Result<CreateParams, Stop> {
        Ok(CreateParams {
            mutation: self.mutation(&format!("create/{what}")),
            spec: MachineSpec {
                name: self.name(what),
                role: Role::Worker,
                like: self.like()?,
                labels: [("replank.dev/check".to_owned(), "conformance".to_owned())].into(),
            },
            user_data: USER_DATA.into(),
        })
    }

    pub(super) fn on(&self, operation: &str, machine: &MachineId) -> MachineParams {
        MachineParams { mutation: self.mutation(operation), machine: machine.clone() }
    }

    pub(super) fn delete_params(&self, operation: &str, target: Deletable) -> DeleteParams {
        DeleteParams { mutation: self.mutation(operation), target }
    }

    /// Asks again until the work is done: `pending` and errors that may pass are waited for.
    pub(super) async fn settle<T>(
        &self,
        what: &str,
        mut ask: impl AsyncFnMut() -> Result<Progress<T>, ProviderError>,
    ) -> Result<T, Stop> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = Instant::now();
            let answer = ask().await;
            ensure(asked.elapsed() <= Duration::from_secs(CALL_SECONDS), || {
                format!("one call of {what} lasted over {CALL_SECONDS} s; longer work answers `pending`")
            })?;
            let waits_for = match answer {
                Ok(Progress::Done { value }) => return Ok(value),
                Ok(Progress::Pending { message }) => {
                    ensure(!message.trim().is_empty(), || {
                        format!("{what} is `pending` and does not say what it waits for")
                    })?;
                    message
                }
                Err(error) if error.retry == Retry::MayHelp && error.code != ErrorCode::Exhausted => {
                    error.message
                }
                Err(error) if error.code == ErrorCode::Exhausted => {
                    return Err(Stop::Skipped(format!("no capacity for {what}: {}", error.message)));
                }
                Err(error) => return Err(Stop::refused(what, &error)),
            };
            let waited = begun.elapsed();
            ensure(waited < self.options.patience, || {
                format!("{what} was not done within {} s; it said: {waits_for}", waited.as_secs())
            })?;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Asks for what must be refused; errors that may pass are waited for.
    pub(super) async fn refused<T: Debug>(
        &self,
        what: &str,
        code: ErrorCode,
        mut ask: impl AsyncFnMut() -> Result<T, ProviderError>,
    ) -> Result<String, Stop> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match ask().await {
                Ok(value) => {
                    return Err(Stop::failed(format!(
                        "{what} must be refused with {code:?}, but gave {value:?}"
                    )));
                }
                Err(error) if error.code == code => {
                    ensure(!error.message.trim().is_empty(), || {
                        format!("{what} was refused without a sentence")
                    })?;
                    ensure(error.retry == Retry::WillNotHelp, || {
                        format!(
                            "{what} was refused with {code:?}, but `retry` says that asking again may help"
                        )
                    })?;
                    return Ok(error.message);
                }
                Err(error) if error.retry == Retry::MayHelp && begun.elapsed() < self.options.patience => {}
                Err(error) => {
                    return Err(Stop::failed(format!(
                        "{what} must be refused with {code:?}, but was with {:?}: {}",
                        error.code, error.message
                    )));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Asks for what is answered at once; errors that may pass are waited for.
    pub(super) async fn answered<T>(
        &self,
        what: &str,
        mut ask: impl AsyncFnMut() -> Result<T, ProviderError>,
    ) -> Result<T, Stop> {
        self.settle(what, async || ask().await.map(|value| Progress::Done { value })).await
    }

    pub(super) async fn create(&self, params: &CreateParams) -> Result<Machine, Stop> {
        self.settle("create", async || self.provider().create(params.clone()).await).await
    }

    /// What two processes are answered that ask for one machine of the case's own at once.
    pub(super) async fn created_at_once_elsewhere_too(&self, what: &str) -> Result<(Machine, Machine), Stop> {
        let params = self.create_params(what)?;
        let another = self.another().await?;
        let elsewhere = self
            .settle("create from another process", async || another.provider().create(params.clone()).await);
        let (first, second) = futures::join!(self.create(&params), elsewhere);
        another.close().await;
        Ok((first?, second?))
    }

    /// A machine of the case's own.
    pub(super) async fn machine(&self, what: &str) -> Result<Machine, Stop> {
        self.create(&self.create_params(what)?).await
    }

    /// A machine of the case's own that runs.
    pub(super) async fn running(&self, what: &str) -> Result<Machine, Stop> {
        let machine = self.machine(what).await?;
        self.until(&machine.id, MachineState::Running).await
    }

    /// A machine of the case's own that was stopped.
    pub(super) async fn stopped(&self, what: &str) -> Result<Machine, Stop> {
        let machine = self.running(what).await?;
        let params = self.on(&format!("stop-first/{what}"), &machine.id);
        self.settle("stop", async || self.provider().stop(params.clone()).await).await
    }

    /// Waits for a machine's state.
    pub(super) async fn until(&self, id: &MachineId, wanted: MachineState) -> Result<Machine, Stop> {
        self.settle(&format!("machine {id} becoming {wanted:?}"), async || {
            let machine = self.provider().get(GetParams { machine: id.clone() }).await?;
            Ok(match machine.state {
                state if state == wanted => Progress::Done { value: machine },
                state => Progress::Pending { message: format!("it is {state:?}") },
            })
        })
        .await
    }

    pub(super) async fn get(&self, id: &MachineId) -> Result<Machine, Stop> {
        self.answered("get", async || self.provider().get(GetParams { machine: id.clone() }).await).await
    }

    pub(super) async fn is_gone(&self, id: &MachineId) -> Result<(), Stop> {
        let ask = async || self.provider().get(GetParams { machine: id.clone() }).await;
        self.refused("get of a machine that was deleted", ErrorCode::NotFound, ask).await.map(drop)
    }

    pub(super) async fn snapshot(&self, operation: &str, machine: &MachineId) -> Result<Snapshot, Stop> {
        let params = self.on(operation, machine);
        self.settle("snapshot", async || self.provider().snapshot(params.clone()).await).await
    }

    pub(super) async fn delete(&self, operation: &str, target: Deletable) -> Result<(), Stop> {
        let params = self.delete_params(operation, target);
        self.settle("delete", async || self.provider().delete(params.clone()).await).await
    }

    /// What the case's run has made.
    pub(super) async fn listed(&self) -> Result<Listing, Stop> {
        self.list(&self.cluster, Some(&self.run)).await
    }

    pub(super) async fn list(&self, cluster: &str, run: Option<&RunId>) -> Result<Listing, Stop> {
        let params = ListParams { cluster: cluster.to_owned(), run: run.cloned() };
        self.answered("list", async || self.provider().list(params.clone()).await).await
    }

    /// The one machine that there is for the case's run.
    pub(super) async fn only_machine(&self, wanted: &MachineId) -> Result<(), Stop> {
        let machines = self.listed().await?.machines;
        ensure(machines.len() == 1 && machines.iter().all(|m| m.id == *wanted), || {
            let ids: Vec<_> = machines.iter().map(|m| m.id.as_str()).collect();
            format!("there must be one machine, {wanted}, and there are {}: {}", ids.len(), ids.join(", "))
        })
    }

    /// Takes everything away that the case made.
    pub(super) async fn clean(&self) -> Result<(), Stop> {
        for cluster in [&self.cluster, &self.other_cluster] {
            let listing = self.list(cluster, None).await?;
            let snapshots = listing.snapshots.into_iter().map(|s| Deletable::Snapshot(s.id));
            let machines = listing.machines.into_iter().map(|m| Deletable::Machine(m.id));
            for (number, target) in snapshots.chain(machines).enumerate() {
                let mut params = self.delete_params(&format!("clean/{cluster}/{number}"), target);
                params.mutation.cluster.clone_from(cluster);
                params.mutation.epoch = Epoch(CLEANING_EPOCH);
                self.settle("delete", async || self.provider().delete(params.clone()).await).await?;
            }
        }
        Ok(())
    }

    /// What is left of the case's things.
    pub(super) async fn left(&self) -> Result<Vec<String>, Stop> {
        let mut left = Vec::new();
        for cluster in [&self.cluster, &self.other_cluster] {
            let listing = self.list(cluster, None).await?;
            left.extend(listing.machines.iter().map(|m| format!("machine {} ({})", m.id, m.name)));
            left.extend(listing.snapshots.iter().map(|s| format!("snapshot {}", s.id)));
        }
        Ok(left)
    }
}
