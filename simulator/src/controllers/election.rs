//! Who leads: the holder of a Lease.

use crate::clock::{Clock, rfc3339_micro};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long a Lease holds when nobody renews it.
const DURATION: Duration = Duration::from_secs(15);
/// How long a leader tries to renew before it gives up.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries to get or to renew the Lease.
const RETRY: Duration = Duration::from_secs(2);

/// One candidate for a Lease in `kube-system`.
pub(super) struct Election {
    leases: Api<Lease>,
    name: &'static str,
    identity: String,
    clock: Clock,
    /// The holder's last renewal and when this candidate saw it: clocks of others are not trusted.
    seen: Option<(String, Instant)>,
}

impl Election {
    pub(super) fn new(client: Client, name: &'static str, identity: String, clock: Clock) -> Self {
        Self { leases: Api::namespaced(client, "kube-system"), name, identity, clock, seen: None }
    }

    /// Waits until this candidate leads.
    pub(super) async fn win(&mut self) {
        while !self.attempt().await {
            sleep(RETRY).await;
        }
    }

    /// Renews until that fails for too long.
    pub(super) async fn hold(&mut self) {
        let mut last = Instant::now();
        loop {
            sleep(RETRY).await;
            if self.attempt().await {
                last = Instant::now();
            } else if last.elapsed() >= DEADLINE {
                return;
            }
        }
    }

    async fn attempt(&mut self) -> bool {
        timeout(DEADLINE / 2, self.get_or_renew()).await.unwrap_or(false)
    }

    async fn get_or_renew(&mut self) -> bool {
        let found = match self.leases.get_opt(self.name).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(lease = self.name, %error, "the lease can't be read");
                return false;
            }
        };
        let params = PostParams::default();
        let outcome = match found {
            None => self.leases.create(&params, &self.lease(None)).await,
            Some(lease) if self.may_take(&lease) => {
                self.leases.replace(self.name, &params, &self.lease(Some(lease))).await
            }
            Some(_) => return false,
        };
        outcome.is_ok()
    }

    fn may_take(&mut self, lease: &Lease) -> bool {
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        if holder.is_empty() || holder == self.identity {
            return true;
        }
        let renewed = spec.renew_time.map(|time| rfc3339_micro(time.0)).unwrap_or_default();
        let version = format!("{holder} {renewed}");
        match &self.seen {
            Some((seen, since)) if *seen == version => since.elapsed() >= DURATION,
            _ => {
                self.seen = Some((version, Instant::now()));
                false
            }
        }
    }

    fn lease(&self, found: Option<Lease>) -> Lease {
        let now = MicroTime(self.clock.now());
        let old = found.clone().and_then(|lease| lease.spec).unwrap_or_default();
        let mine = old.holder_identity.as_deref() == Some(&self.identity);
        let turns = old.lease_transitions.unwrap_or(0);
        let metadata = found.map_or_else(
            || ObjectMeta { name: Some(self.name.to_owned()), ..ObjectMeta::default() },
            |lease| lease.metadata,
        );
        let acquire_time = if mine { old.acquire_time } else { Some(now.clone()) };
        let first = old.holder_identity.is_none();
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time,
                renew_time: Some(now),
                lease_transitions: Some(if mine || first { turns } else { turns + 1 }),
                ..LeaseSpec::default()
            }),
        }
    }
}
