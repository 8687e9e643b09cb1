//! Pausing, and undoing.

use crate::cluster::{Cluster, condition};
use crate::plans;
use crate::runs::{apply, journal};
use replank_execution::engine::mirror;
use replank_execution::finalize::{FinalizeError, Retained};
use replank_execution::orphans::orphans;
use replank_execution::{Engine, Outcome, RunDir, RunEvent};
use replank_planning::ids::StepId;
use replank_planning::journal::{Record, Standing};
use replank_planning::plan::{Plan, Undo};
use replank_planning::waiting::PauseReason;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

async fn prepared() -> (Cluster, Plan) {
    let cluster = Cluster::with_workers(&["w1", "w2"]).await;
    cluster.deployment("web", 3).await;
    let plan = plans::replacing(cluster.observed().await, &["w1"]);
    (cluster, plan)
}

fn engine(cluster: &Cluster, plan: &Plan, directory: &Path) -> Engine {
    let (events, _) = unbounded_channel();
    let run_dir = RunDir::open(directory).unwrap();
    Engine::new(cluster.world(), plan.clone(), run_dir, events, CancellationToken::new())
}

/// Carries a plan out until a step begins, and asks for a pause then.
async fn until_begun(cluster: &Cluster, plan: &Plan, directory: &Path, step: &str) -> Outcome {
    let (events, mut told) = unbounded_channel();
    let pause = CancellationToken::new();
    let run_dir = RunDir::open(directory).unwrap();
    let run =
        Engine::new(cluster.world(), plan.clone(), run_dir, events, pause.clone()).asked_by("Ctrl-C").apply();
    tokio::pin!(run);
    loop {
        tokio::select! {
            biased;
            Some(event) = told.recv() => if let RunEvent::Recorded(entry) = event
                && matches!(&entry.record, Record::Started { step: s, .. } if s.as_str() == step) { pause.cancel() },
            outcome = &mut run => return outcome.unwrap(),
        }
    }
}

fn machines(cluster: &Cluster) -> Vec<String> {
    let mut names: Vec<String> = cluster.datacenter.machines().into_iter().map(|m| m.name).collect();
    names.sort();
    names
}

/// What a rollback must bring back.
async fn essence(cluster: &Cluster) -> Value {
    let api = cluster.world().api();
    let nodes: Vec<Value> = cluster
        .list("/api/v1/nodes")
        .await
        .iter()
        .map(|n| {
            serde_json::json!([
                n["metadata"]["name"],
                n["metadata"]["labels"],
                n["spec"]["podCIDR"],
                n["spec"]["unschedulable"],
                n["spec"]["taints"],
                condition(n, "Ready"),
            ])
        })
        .collect();
    let config = api.get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config").await.unwrap();
    let manager = api.get("/api/v1/namespaces/kube-system/pods/kube-controller-manager-cp1").await.unwrap();
    let config: Value =
        serde_saphyr::from_str(config["data"]["ClusterConfiguration"].as_str().unwrap()).unwrap();
    let sets: Vec<Value> = cluster
        .list("/apis/apps/v1/daemonsets")
        .await
        .iter()
        .map(|d| d["metadata"]["name"].clone())
        .collect();
    serde_json::json!([nodes, config["networking"], manager["spec"]["containers"][0]["command"], sets])
}

#[tokio::test(start_paused = true)]
async fn a_run_pauses_at_a_safe_point_and_goes_on() {
    let (cluster, plan) = prepared().await;
    let directory = tempfile::tempdir().unwrap();
    let outcome = until_begun(&cluster, &plan, directory.path(), "w1/create").await;
    let Outcome::Paused { reason, step } = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason, PauseReason::Requested { by: "Ctrl-C".into() });
    assert_eq!(step, Some(StepId::new("w1/create")));
    let status = mirror::read(&cluster.world().api()).await.unwrap().unwrap();
    assert_eq!(status.status.state, Standing::Paused);
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    let status = mirror::read(&cluster.world().api()).await.unwrap().unwrap();
    assert_eq!((status.status.state, status.status.nodes.replaced), (Standing::Finished, 1));
}

#[tokio::test(start_paused = true)]
async fn a_pause_can_be_asked_for_from_elsewhere() {
    let (cluster, plan) = prepared().await;
    let directory = tempfile::tempdir().unwrap();
    let api = cluster.world().api();
    let ask = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        mirror::request(&api, Some(mirror::Request::Pause)).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(apply(&cluster, &plan, directory.path()), ask);
    let Outcome::Paused { reason, .. } = outcome.unwrap() else { panic!("not paused") };
    assert_eq!(reason, PauseReason::Requested { by: mirror::BY.into() });
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
}

#[tokio::test(start_paused = true)]
async fn from_any_step_on_everything_can_be_undone() {
    for step in ["hold/cp1", "flannel/install", "w1/create", "w1/admit", "w1/drain", "w1/stop", "verify"] {
        let (cluster, plan) = prepared().await;
        let before = essence(&cluster).await;
        let directory = tempfile::tempdir().unwrap();
        let paused = until_begun(&cluster, &plan, directory.path(), step).await;
        assert!(matches!(paused, Outcome::Paused { .. } | Outcome::Finished), "{step}: {paused:?}");
        let outcome = engine(&cluster, &plan, directory.path()).rollback(None).await.unwrap();
        assert_eq!(outcome, Outcome::RolledBack, "{step}: {}", journal(directory.path()));
        // The old machine boots, its kubelet takes its Node over.
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(essence(&cluster).await, before, "{step}");
        assert_eq!(machines(&cluster), ["cp1", "w1", "w2"], "{step}");
        let again = apply(&cluster, &plan, directory.path()).await.unwrap();
        if step == "verify" {
            // The Node was deleted and made again: the plan does not know the new one.
            assert!(
                matches!(again, Outcome::Paused { reason: PauseReason::Refused { .. }, .. }),
                "{again:?}"
            );
        } else {
            // Once more, forward: nothing of the first time is in the way.
            assert_eq!(again, Outcome::Finished, "{step}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_way_back_ends_at_a_point_of_no_return_and_at_a_named_step() {
    let (cluster, mut plan) = prepared().await;
    let stop = plan.steps.iter_mut().find(|s| s.id.as_str() == "w1/stop").unwrap();
    stop.undo = Undo::PointOfNoReturn { reason: "the machine is lost".into() };
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    let to = Some(StepId::new("w1/delete-node"));
    let outcome = engine(&cluster, &plan, directory.path()).rollback(to).await.unwrap();
    assert_eq!(outcome, Outcome::RolledBack);
    let outcome = engine(&cluster, &plan, directory.path()).rollback(None).await.unwrap();
    let expected = Outcome::NoWayBack { step: StepId::new("w1/stop"), reason: "the machine is lost".into() };
    assert_eq!(outcome, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_goes_with_finalize_and_nothing_is_forgotten() {
    let (cluster, plan) = prepared().await;
    let directory = tempfile::tempdir().unwrap();
    until_begun(&cluster, &plan, directory.path(), "w1/drain").await;
    let early = engine(&cluster, &plan, directory.path()).finalize().await;
    assert!(matches!(early, Err(FinalizeError::NotOver)), "{early:?}");
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);

    let gone = engine(&cluster, &plan, directory.path()).finalize().await.unwrap();
    assert!(matches!(&gone[..], [Retained::Machine { .. }, Retained::Snapshot { .. }]), "{gone:?}");
    assert_eq!(machines(&cluster), ["cp1", "w1-r2", "w2"]);
    assert!(cluster.datacenter.snapshots().is_empty());
    assert_eq!(std::fs::read_dir(directory.path().join("backup")).unwrap().count(), 0);
    assert_eq!(engine(&cluster, &plan, directory.path()).finalize().await.unwrap(), []);
    let found = orphans(&cluster.world(), &plan.cluster.uid, &[]).await.unwrap();
    assert!(found.is_empty(), "{found:?}");
}
