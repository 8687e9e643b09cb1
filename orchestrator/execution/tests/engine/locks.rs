//! The cluster's lock.

use crate::cluster::Cluster;
use crate::plans;
use crate::runs::apply;
use replank_execution::lock::{EPOCH, Known, LEASE, Lock, LockError};
use replank_execution::{Engine, Outcome, RunDir, RunError, RunEvent};
use replank_planning::ids::{Epoch, RunId};
use replank_planning::waiting::Waiting;
use replank_simulator::faults::Fault;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const PLACE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/replank";

async fn take(cluster: &Cluster, holder: &str, waits: &mut Vec<Waiting>) -> Result<Lock, LockError> {
    take_with(cluster, holder, "run-1", Known::default(), waits).await
}

async fn take_with(
    cluster: &Cluster,
    holder: &str,
    run: &str,
    known: Known,
    waits: &mut Vec<Waiting>,
) -> Result<Lock, LockError> {
    let world = cluster.world();
    let on_wait = |w| {
        if waits.last() != Some(&w) {
            waits.push(w);
        }
    };
    Lock::acquire(world.api(), world.clock.clone(), holder.into(), RunId::new(run), known, on_wait).await
}

async fn lease(cluster: &Cluster) -> Value {
    cluster.world().api().get(PLACE).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_free_lock_is_taken_and_given_back() {
    let cluster = Cluster::with_workers(&[]).await;
    let mut waits = Vec::new();
    let lock = take(&cluster, "here", &mut waits).await.unwrap();
    assert_eq!(lock.epoch(), Epoch(1));
    let held = lease(&cluster).await;
    assert_eq!(held["spec"]["holderIdentity"], "here");
    assert_eq!(held["metadata"]["annotations"][EPOCH], "1");
    lock.release().await;
    assert_eq!(lease(&cluster).await["spec"]["holderIdentity"], "");
    // The next one need not wait, and is above.
    let next = take(&cluster, "there", &mut waits).await.unwrap();
    assert_eq!(next.epoch(), Epoch(2));
    assert_eq!(waits, []);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_stayed_behind_is_refused_and_one_that_did_not_goes_on() {
    let cluster = Cluster::with_workers(&[]).await;
    let mut waits = Vec::new();
    let known = |records: u64| Known { epoch: Epoch(0), records: Arc::new(AtomicU64::new(records)) };
    let ahead = known(5);
    let first = take_with(&cluster, "here", "run-1", ahead.clone(), &mut waits).await.unwrap();
    ahead.records.store(9, Ordering::Relaxed);
    first.release().await;
    for holder in ["there", "here"] {
        let behind = take_with(&cluster, holder, "run-1", known(5), &mut waits).await;
        assert_eq!(behind.err(), Some(LockError::Behind { ours: 5, theirs: 9 }), "{holder}");
    }
    assert!(take_with(&cluster, "there", "run-1", known(9), &mut waits).await.is_ok(), "moved, not copied");
    drop(take_with(&cluster, "there", "run-2", known(0), &mut waits).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_same_holder_takes_its_own_back_at_once() {
    let cluster = Cluster::with_workers(&[]).await;
    let mut waits = Vec::new();
    drop(take(&cluster, "here", &mut waits).await.unwrap());
    let since = Instant::now();
    let again = take(&cluster, "here", &mut waits).await.unwrap();
    assert_eq!((again.epoch(), waits.len()), (Epoch(2), 0));
    assert!(since.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn another_holder_waits_the_lease_out_and_says_so() {
    let cluster = Cluster::with_workers(&[]).await;
    let mut waits = Vec::new();
    drop(take(&cluster, "here", &mut waits).await.unwrap());
    let since = Instant::now();
    let next = take(&cluster, "there", &mut waits).await.unwrap();
    assert_eq!(next.epoch(), Epoch(2));
    assert_eq!(waits, [Waiting::LockHeld { holder: "here".into() }]);
    assert!(since.elapsed() >= LEASE && since.elapsed() < LEASE * 2, "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_renewed_lock_is_never_taken_and_a_stopped_holder_learns_that_it_lost() {
    let cluster = Cluster::with_workers(&[]).await;
    let mut waits = Vec::new();
    let first = take(&cluster, "here", &mut waits).await.unwrap();
    let mut others = Vec::new();
    {
        let kept = first.keep();
        let taken = take(&cluster, "there", &mut others);
        let long = tokio::time::sleep(LEASE * 5);
        tokio::select! {
            lost = kept => panic!("lost: {lost}"),
            _ = taken => panic!("taken from a holder that renews"),
            () = long => {}
        }
    }
    // The holder stops, as under SIGSTOP; the other one gets it; the first one comes back.
    let second = take(&cluster, "there", &mut others).await.unwrap();
    assert!(second.epoch() > first.epoch());
    let mut told = 0;
    let acts = tokio::time::timeout(Duration::from_secs(1), first.permit(|| told += 1)).await;
    assert!(acts.is_err() && told > 0, "it must not act with a lease that ran out");
    assert_eq!(first.keep().await, LockError::Taken { holder: "there".into() });
    assert!(first.permit(|| ()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_was_not_renewed_in_time_is_held_again_before_anything_is_done() {
    let cluster = Cluster::with_workers(&[]).await;
    let lock = take(&cluster, "here", &mut Vec::new()).await.unwrap();
    cluster.server.faults().raise(Fault::named("unavailable").client("replank"));
    let mut told = 0;
    let renewed = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(lock.permit(|| ()).now_or_never_held().await);
        cluster.server.faults().lift_all();
        lock.permit(|| told += 1).await.unwrap();
    };
    tokio::select! {
        lost = lock.keep() => panic!("lost: {lost}"),
        () = renewed => {}
    }
    assert_eq!(told, 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_elsewhere_waits_with_a_reason_and_then_goes_on() {
    let cluster = Cluster::with_workers(&["w1"]).await;
    let plan = plans::holding(cluster.observed().await);
    drop(take(&cluster, "elsewhere/1", &mut Vec::new()).await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let (events, mut told) = unbounded_channel();
    let run_dir = RunDir::open(directory.path()).unwrap();
    let engine = Engine::new(cluster.world(), plan, run_dir, events, CancellationToken::new());
    assert_eq!(engine.apply().await.unwrap(), Outcome::Finished);
    let held = Waiting::LockHeld { holder: "elsewhere/1".into() };
    let mut said = false;
    while let Ok(event) = told.try_recv() {
        said |= matches!(event, RunEvent::Waiting { step: None, waiting } if waiting == held);
    }
    assert!(said);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_lock_is_taken_stops_at_once() {
    let cluster = Cluster::with_workers(&["w1"]).await;
    let plan = plans::replacing(cluster.observed().await, &["w1"]);
    let directory = tempfile::tempdir().unwrap();
    let api = cluster.world().api();
    let steal = async {
        tokio::time::sleep(Duration::from_secs(15)).await;
        let mut lease = api.get(PLACE).await.unwrap();
        lease["spec"]["holderIdentity"] = json!("thief");
        lease["metadata"]["annotations"][EPOCH] = json!("40");
        api.replace(PLACE, &lease).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(apply(&cluster, &plan, directory.path()), steal);
    assert!(matches!(outcome, Err(RunError::Lock(LockError::Taken { holder })) if holder == "thief"));
}

/// A copy of a run's directory that waits for the lock must not take its own waiting for progress.
#[tokio::test(start_paused = true)]
async fn a_copy_that_waited_while_the_run_went_on_elsewhere_stays_behind() {
    let cluster = Cluster::with_workers(&["w1"]).await;
    let plan = plans::holding(cluster.observed().await);
    let run = plan.run_id().unwrap();
    let directory = tempfile::tempdir().unwrap();
    // Both begin with the same journal; the one elsewhere has the lock and writes a record more.
    let known = Known::default();
    let elsewhere =
        take_with(&cluster, "elsewhere/1", run.as_str(), known.clone(), &mut Vec::new()).await.unwrap();
    let goes_on = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        known.records.store(1, Ordering::Relaxed);
        elsewhere.release().await;
    };

    let (behind, ()) = tokio::join!(apply(&cluster, &plan, directory.path()), goes_on);

    let error = behind.unwrap_err();
    assert!(matches!(error, RunError::Lock(LockError::Behind { ours: 0, theirs: 1 })), "{error:?}");
    // It wrote down that it waited; that is no progress the next time either.
    let again = apply(&cluster, &plan, directory.path()).await.unwrap_err();
    assert!(matches!(again, RunError::Lock(LockError::Behind { ours: 0, theirs: 1 })), "{again:?}");
}

/// Whether a permission is not given at once.
trait NotYet {
    async fn now_or_never_held(self) -> bool;
}

impl<F: Future<Output = Result<(), LockError>>> NotYet for F {
    async fn now_or_never_held(self) -> bool {
        tokio::time::timeout(Duration::from_millis(1), self).await.is_err()
    }
}
