//! An API server that takes a request and never answers, while others are answered.

use crate::cluster::Cluster;
use crate::plans::Draft;
use crate::runs::journal;
use replank_execution::api::Follow;
use replank_execution::lock::{Known, LEASE, Lock};
use replank_execution::{Engine, Outcome, RunDir, RunEvent};
use replank_planning::ids::RunId;
use replank_planning::journal::Record;
use replank_planning::waiting::PauseReason;
use replank_simulator::faults::Fault;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

async fn take(cluster: &Cluster, holder: &str) -> Lock {
    let world = cluster.world();
    let (run, known) = (RunId::new("run-1"), Known::default());
    Lock::acquire(world.api(), world.clock.clone(), holder.into(), run, known, |_| ()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_renewal_without_an_answer_does_not_lose_the_lock() {
    let cluster = Cluster::with_workers(&[]).await;
    let lock = take(&cluster, "here").await;
    // Only one request is never answered; the next one is.
    cluster.server.faults().raise(Fault::named("no-answer").resource("leases").client("replank").count(1));
    let held = async {
        for _ in 0..LEASE.as_secs() * 3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(lock.is_held());
        }
    };
    tokio::select! {
        biased;
        lost = lock.keep() => panic!("lost: {lost}"),
        () = held => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_given_up_within_minutes() {
    let cluster = Cluster::with_workers(&[]).await;
    let mut follow = Follow::new(cluster.world().api(), "/apis/apps/v1/daemonsets", "");
    assert!(follow.advance().await.unwrap(), "the list");
    let _ = tokio::time::timeout(Duration::from_secs(5), follow.advance()).await;
    cluster.server.faults().raise(Fault::named("no-answer").verb("watch").resource("daemonsets"));
    let gives_up = async {
        loop {
            if let Err(error) = follow.advance().await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_mins(4), gives_up).await.expect("it waits for ever");
    assert!(error.may_pass(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_what_does_not_change_is_left_alone() {
    let cluster = Cluster::with_workers(&[]).await;
    let mut follow = Follow::new(cluster.world().api(), "/apis/storage.k8s.io/v1/storageclasses", "");
    let quiet = async {
        loop {
            follow.advance().await.unwrap();
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(280), quiet).await;
    let watches = cluster.server.requests().count(|r| r.url.contains("/storageclasses?watch=1"));
    assert_eq!(watches, 1);
}

#[tokio::test(start_paused = true)]
async fn a_pause_while_a_write_is_tried_again_without_the_lock_is_a_pause() {
    let cluster = Cluster::with_workers(&["w1"]).await;
    let mut draft = Draft::new(cluster.observed().await);
    draft.drain_only("w1", replank_planning::intent::DrainRules::default());
    let plan = draft.plan();
    let directory = tempfile::tempdir().unwrap();
    let (events, mut told) = unbounded_channel();
    let pause = CancellationToken::new();
    let run_dir = RunDir::open(directory.path()).unwrap();
    let run = Engine::new(cluster.world(), plan, run_dir, events, pause.clone()).asked_by("Ctrl-C").apply();
    // The API server takes no more writes once the cordon has begun, so that the Lease runs out too.
    let outage = async {
        while let Some(event) = told.recv().await {
            if matches!(event, RunEvent::Recorded(entry) if matches!(entry.record, Record::Started { .. })) {
                break;
            }
        }
        for verb in ["patch", "update"] {
            cluster.server.faults().raise(Fault::named("unavailable").verb(verb).client("replank"));
        }
        tokio::time::sleep(LEASE * 3).await;
        pause.cancel();
    };
    let (outcome, ()) = tokio::join!(run, outage);
    let Outcome::Paused { reason, .. } = outcome.unwrap() else { panic!("not paused") };
    assert_eq!(reason, PauseReason::Requested { by: "Ctrl-C".into() }, "{}", journal(directory.path()));
}
