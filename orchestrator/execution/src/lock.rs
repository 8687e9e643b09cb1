//! The cluster's lock: the Lease `kube-system/replank`, with an epoch that fences whoever held it before.

use crate::api::{Api, ApiError, Follow, path};
use crate::clock::{WallClock, micros};
use replank_planning::ids::{Epoch, RunId};
use replank_planning::waiting::Waiting;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The annotation that carries the epoch.
pub const EPOCH: &str = "replank.dev/epoch";
/// The annotation that names the run.
pub const RUN: &str = "replank.dev/run";
/// The annotation that tells the number of the last record in the run's journal by which it got on, as of the last
/// renewal, so that a copy which stayed behind is known.
pub const RECORDS: &str = "replank.dev/records";

const NAMESPACE: &str = "kube-system";
const NAME: &str = "replank";

/// How long a Lease holds after its last renewal. A killed run on another machine is taken over after
/// this long; a shorter one would let a busy API server end runs.
pub const LEASE: Duration = Duration::from_secs(30);
/// How often it is renewed, and how long one try may take: after one that gets no answer there is still time for
/// another before we have to stop acting.
const RENEW: Duration = Duration::from_secs(8);
/// How soon a renewal that failed is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(1);
/// How long before the Lease's end we stop acting: a request that was sent must have arrived.
const MARGIN: Duration = Duration::from_secs(5);
/// How soon the lock is asked for again when the API server could not be asked.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Why the lock is not ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Someone else took it.
    #[error(
        "the cluster's lock (Lease kube-system/replank) was taken by {holder}; this process stops, and must not go on"
    )]
    Taken {
        /// Who.
        holder: String,
    },
    /// Another copy of the run's directory has come further.
    #[error(
        "this copy of the run's directory is older than what was done: its journal goes to record {ours}, and the run \
         went on elsewhere to record {theirs} or further. Nothing was done; go on with the newest copy. If that one \
         is lost, take the annotation {RECORDS} off Lease kube-system/replank and begin with `replank check`"
    )]
    Behind {
        /// The last record of this copy by which the run got on.
        ours: u64,
        /// That of another one, at least.
        theirs: u64,
    },
    /// The API server refuses.
    #[error(
        "the cluster's lock (Lease kube-system/replank) can't be used: {0}; see `replank rbac` for the rights it needs"
    )]
    Refused(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Held { until: Instant },
    Lost(LockError),
}

/// What our journal knows of its run.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The highest epoch in it.
    pub epoch: Epoch,
    /// The number of its last record by which the run got on, kept up to date by whoever writes them.
    pub records: Arc<AtomicU64>,
}

/// The lock, held.
pub struct Lock {
    api: Api,
    clock: Arc<dyn WallClock>,
    holder: String,
    run: RunId,
    epoch: Epoch,
    records: Arc<AtomicU64>,
    state: watch::Sender<State>,
}

impl Lock {
    /// Takes the lock: at once if it is free, run out or our own, else when its Lease runs out. `on_wait` hears
    /// every new reason to wait. The new epoch is above the Lease's and above the journal's.
    ///
    /// # Errors
    /// When the API server refuses, or another copy of the run's directory has come further than ours.
    pub async fn acquire(
        api: Api,
        clock: Arc<dyn WallClock>,
        holder: String,
        run: RunId,
        known: Known,
        mut on_wait: impl FnMut(Waiting),
    ) -> Result<Self, LockError> {
        let mut patience: Option<(Value, Instant)> = None;
        let mut follow: Option<Follow> = None;
        loop {
            let lease = match api.find(&lease_path()).await {
                Ok(lease) => lease,
                Err(error) => {
                    ask_again(&error, &mut on_wait).await?;
                    continue;
                }
            };
            if let Some(lease) = &lease {
                not_behind(lease, &run, &known)?;
            }
            let theirs = lease.as_ref().and_then(|l| held_by_other(l, &holder));
            if let (Some(lease), Some((other, lasts))) = (&lease, theirs) {
                // Clocks differ between machines: a Lease has run out when it did not change for its
                // duration by our own.
                let beat = lease["spec"].clone();
                let since = match &patience {
                    Some((seen, since)) if *seen == beat => *since,
                    _ => Instant::now(),
                };
                patience = Some((beat, since));
                if since.elapsed() < lasts {
                    on_wait(Waiting::LockHeld { holder: other });
                    let follow = follow.get_or_insert_with(|| {
                        Follow::new(
                            api.clone(),
                            &lease_collection(),
                            &path::fields(&format!("metadata.name={NAME}")),
                        )
                    });
                    changed_within(follow, lasts.saturating_sub(since.elapsed())).await;
                    continue;
                }
            }
            let asked = Instant::now();
            let epoch = Epoch(lease.as_ref().map_or(0, epoch_of).max(known.epoch.0) + 1);
            let lock = Self {
                api: api.clone(),
                clock: clock.clone(),
                holder: holder.clone(),
                run: run.clone(),
                epoch,
                records: known.records.clone(),
                state: watch::channel(State::Held { until: asked + LEASE - MARGIN }).0,
            };
            let next = lock.document(lease.as_ref(), &holder);
            let answer = match &lease {
                None => api.create(&lease_collection(), &next).await,
                Some(_) => api.replace(&lease_path(), &next).await,
            };
            match answer {
                Ok(_) => return Ok(lock),
                Err(error) if error.code == 409 => {}
                Err(error) => ask_again(&error, &mut on_wait).await?,
            }
        }
    }

    /// The epoch under which we act.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Who we are.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Renews the Lease for ever; ends only when the lock is lost.
    pub async fn keep(&self) -> LockError {
        loop {
            tokio::time::sleep(RENEW).await;
            while let Err(error) = self.renew_in_time().await {
                if let Some(lost) = error {
                    self.state.send_replace(State::Lost(lost.clone()));
                    return lost;
                }
                tokio::time::sleep(RENEW_AGAIN).await;
            }
        }
    }

    /// One connection that says nothing must not use up the Lease: the next try has a connection of its own.
    async fn renew_in_time(&self) -> Result<(), Option<LockError>> {
        tokio::time::timeout(RENEW, self.renew()).await.unwrap_or(Err(None))
    }

    /// `Err(None)`: not renewed, but perhaps the next time.
    async fn renew(&self) -> Result<(), Option<LockError>> {
        let asked = Instant::now();
        let current = match self.api.find(&lease_path()).await {
            Ok(current) => current,
            Err(error) if error.may_pass() => return Err(None),
            Err(error) => return Err(Some(LockError::Refused(error.to_string()))),
        };
        if let Some(lease) = &current {
            let holder = text(lease, "/spec/holderIdentity");
            if holder != self.holder || epoch_of(lease) != self.epoch.0 {
                return Err(Some(LockError::Taken { holder: holder.to_owned() }));
            }
        }
        let next = self.document(current.as_ref(), &self.holder);
        let answer = match &current {
            Some(_) => self.api.replace(&lease_path(), &next).await,
            None => self.api.create(&lease_collection(), &next).await,
        };
        match answer {
            Ok(_) => {
                self.state.send_replace(State::Held { until: asked + LEASE - MARGIN });
                Ok(())
            }
            Err(error) if error.may_pass() || error.code == 409 => Err(None),
            Err(error) => Err(Some(LockError::Refused(error.to_string()))),
        }
    }

    /// Returns while the lock is surely held: before every act. `on_wait` is told if it has to wait.
    ///
    /// # Errors
    /// When the lock is lost for good.
    pub async fn permit(&self, mut on_wait: impl FnMut()) -> Result<(), LockError> {
        let mut states = self.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                State::Held { until } if Instant::now() < *until => return Ok(()),
                State::Held { .. } => on_wait(),
                State::Lost(error) => return Err(error.clone()),
            }
            if states.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Whether the lock is surely held right now.
    pub fn is_held(&self) -> bool {
        matches!(&*self.state.borrow(), State::Held { until } if Instant::now() < *until)
    }

    /// Gives the lock back, so that the next run need not wait. Fails silently: the Lease runs out anyway.
    pub async fn release(&self) {
        let Ok(Some(current)) = self.api.find(&lease_path()).await else { return };
        if text(&current, "/spec/holderIdentity") == self.holder && epoch_of(&current) == self.epoch.0 {
            let _ = self.api.replace(&lease_path(), &self.document(Some(&current), "")).await;
        }
    }

    fn document(&self, current: Option<&Value>, holder: &str) -> Value {
        let mut lease = current.cloned().unwrap_or_else(|| {
            json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": NAME, "namespace": NAMESPACE},
            })
        });
        let now = micros(self.clock.now());
        let other = text(&lease, "/spec/holderIdentity") != holder;
        let transitions = lease.pointer("/spec/leaseTransitions").and_then(Value::as_u64).unwrap_or(0);
        if !lease["spec"].is_object() {
            lease["spec"] = json!({});
        }
        if !lease["metadata"]["annotations"].is_object() {
            lease["metadata"]["annotations"] = json!({});
        }
        lease["metadata"]["annotations"][EPOCH] = json!(self.epoch.to_string());
        lease["metadata"]["annotations"][RUN] = json!(self.run);
        lease["metadata"]["annotations"][RECORDS] = json!(self.records.load(Ordering::Relaxed).to_string());
        let spec = &mut lease["spec"];
        spec["holderIdentity"] = json!(holder);
        spec["leaseDurationSeconds"] = json!(LEASE.as_secs());
        spec["renewTime"] = json!(now);
        if other && !holder.is_empty() {
            spec["acquireTime"] = json!(now);
            spec["leaseTransitions"] = json!(transitions + u64::from(current.is_some()));
        }
        lease
    }
}

/// The run that the Lease tells of, and how many records its journal had: for whoever takes the lock without
/// being a run, so that a stale copy of that run stays refused.
pub(crate) async fn last_run(api: &Api) -> Result<Option<(RunId, u64)>, ApiError> {
    let Some(lease) = api.find(&lease_path()).await? else { return Ok(None) };
    let run = lease["metadata"]["annotations"][RUN].as_str().map(RunId::new);
    Ok(run.map(|run| (run, number(&lease, RECORDS))))
}

async fn ask_again(error: &ApiError, on_wait: &mut impl FnMut(Waiting)) -> Result<(), LockError> {
    if !error.may_pass() {
        return Err(LockError::Refused(error.to_string()));
    }
    on_wait(Waiting::ApiServer { reason: error.to_string() });
    tokio::time::sleep(ASK_AGAIN).await;
    Ok(())
}

/// Waits for a change, but no longer than this.
async fn changed_within(follow: &mut Follow, most: Duration) {
    let first = async {
        // The first change after the list that begins a watch is the first one that matters.
        let mut changes = 0;
        while changes < 2 {
            match follow.advance().await {
                Ok(true) => changes += 1,
                Ok(false) => {}
                Err(_) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    };
    let _ = tokio::time::timeout(most, first).await;
}

/// Who had the lock last, and when that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// A machine and a run directory; empty once it was given back.
    pub holder: String,
    /// The last renewal, RFC 3339, by the holder's clock.
    pub renewed: String,
    /// How long a renewal holds.
    pub lasts: Duration,
}

/// The lock as the cluster shows it, if anyone ever had it.
///
/// # Errors
/// As the server said.
pub async fn beat(api: &Api) -> Result<Option<Beat>, ApiError> {
    let lease = api.find(&lease_path()).await?;
    Ok(lease.map(|lease| Beat {
        holder: text(&lease, "/spec/holderIdentity").to_owned(),
        renewed: text(&lease, "/spec/renewTime").to_owned(),
        lasts: lasts(&lease),
    }))
}

fn lasts(lease: &Value) -> Duration {
    let seconds = lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_u64);
    seconds.map_or(LEASE, Duration::from_secs)
}

fn held_by_other(lease: &Value, us: &str) -> Option<(String, Duration)> {
    let holder = text(lease, "/spec/holderIdentity");
    if holder.is_empty() || holder == us {
        return None;
    }
    Some((holder.to_owned(), lasts(lease)))
}

fn epoch_of(lease: &Value) -> u64 {
    number(lease, EPOCH)
}

/// A journal that lacks records of its own run would have steps done again that another copy has done, undone
/// or gone past.
fn not_behind(lease: &Value, run: &RunId, known: &Known) -> Result<(), LockError> {
    let ours = known.records.load(Ordering::Relaxed);
    let theirs = number(lease, RECORDS);
    let same_run = lease["metadata"]["annotations"][RUN].as_str() == Some(run.as_str());
    if same_run && theirs > ours { Err(LockError::Behind { ours, theirs }) } else { Ok(()) }
}

fn number(lease: &Value, annotation: &str) -> u64 {
    lease["metadata"]["annotations"][annotation].as_str().and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn lease_collection() -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases")
}

fn lease_path() -> String {
    format!("{}/{NAME}", lease_collection())
}
