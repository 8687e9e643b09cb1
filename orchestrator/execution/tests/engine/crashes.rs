//! A run that is killed at any record, on either side of its write, and started again.

use crate::cluster::Cluster;
use crate::plans;
use crate::runs::{apply, journal};
use replank_execution::journal::{CrashPoint, CrashingJournal, JournalError, Side};
use replank_execution::{Engine, Outcome, RunDir, RunError};
use replank_planning::plan::Plan;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

async fn crash(
    cluster: &Cluster,
    plan: &Plan,
    directory: &Path,
    at: CrashPoint,
) -> Result<Outcome, RunError> {
    let (events, _told) = unbounded_channel();
    let run_dir = RunDir::open(directory)?;
    Engine::new(cluster.world(), plan.clone(), run_dir, events, CancellationToken::new())
        .with_journal(Box::new(move |inner| Box::new(CrashingJournal::new(inner, at))))
        .apply()
        .await
}

/// A cluster without what differs between runs that are equal.
async fn essence(cluster: &Cluster) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for node in cluster.list("/api/v1/nodes").await {
        let name = node["metadata"]["name"].as_str().unwrap().to_owned();
        let mut labels = node["metadata"]["labels"].clone();
        labels.as_object_mut().unwrap().remove("kubernetes.io/hostname");
        let kept = serde_json::json!([
            labels,
            node["spec"]["podCIDR"],
            node["spec"]["taints"],
            node["spec"]["unschedulable"]
        ]);
        found.insert(name, kept);
    }
    for machine in cluster.datacenter.machines() {
        found.insert(format!("machine {}", machine.name), serde_json::json!(machine.state));
    }
    found
}

/// Each thing that was done to the machines, and how often.
fn effects(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for effect in cluster.datacenter.effects() {
        if matches!(effect.effect.as_str(), "create" | "stop" | "start" | "delete" | "snapshot") {
            *counts.entry(format!("{} {}", effect.effect, effect.subject)).or_default() += 1;
        }
    }
    counts
}

async fn prepared() -> (Cluster, Plan) {
    let cluster = Cluster::with_workers(&["w1", "w2"]).await;
    cluster.deployment("web", 3).await;
    let plan = plans::replacing(cluster.observed().await, &["w1"]);
    (cluster, plan)
}

/// The suites that cross crates kill a whole migration at every record; here a few suffice.
#[tokio::test(start_paused = true)]
async fn wherever_it_crashes_it_ends_as_if_it_had_not() {
    let (world, plan) = prepared().await;
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(apply(&world, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    let lines = journal(directory.path()).lines().count() as u64;
    let (wanted, wanted_effects) = (essence(&world).await, effects(&world));
    drop(world);

    for line in (1..=lines).step_by(5) {
        let side = if line % 2 == 0 { Side::Before } else { Side::After };
        let at = CrashPoint { line, side };
        let (cluster, plan) = prepared().await;
        let directory = tempfile::tempdir().unwrap();
        let crashed = crash(&cluster, &plan, directory.path(), at).await;
        assert!(matches!(crashed, Err(RunError::Journal(JournalError::Crashed))), "{at:?}: {crashed:?}");
        let outcome = apply(&cluster, &plan, directory.path()).await.unwrap();
        assert_eq!(outcome, Outcome::Finished, "{at:?}: {}", journal(directory.path()));
        assert_eq!(essence(&cluster).await, wanted, "{at:?}");
        assert_eq!(effects(&cluster), wanted_effects, "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn killed_again_and_again_it_ends_all_the_same() {
    let (world, plan) = prepared().await;
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(apply(&world, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    let (wanted, wanted_effects) = (essence(&world).await, effects(&world));
    drop(world);

    for side in [Side::Before, Side::After] {
        let (cluster, plan) = prepared().await;
        let directory = tempfile::tempdir().unwrap();
        let mut kills = 0;
        let outcome = loop {
            // Long enough for a step that waits, learns and ends to get to its end now and then.
            let at = CrashPoint { line: 3 + kills % 6, side };
            match crash(&cluster, &plan, directory.path(), at).await {
                Err(RunError::Journal(JournalError::Crashed)) => kills += 1,
                ended => break ended.unwrap(),
            }
            assert!(kills < 500, "no end: {}", journal(directory.path()));
        };
        assert_eq!(outcome, Outcome::Finished, "{}", journal(directory.path()));
        assert!(kills > 10, "{kills} kills");
        assert_eq!(essence(&cluster).await, wanted, "{side:?}");
        assert_eq!(effects(&cluster), wanted_effects, "{side:?}");
    }
}
