//! What nobody remembers.

use crate::cluster::Cluster;
use crate::plans;
use crate::runs::apply;
use replank_execution::orphans::{Made, Orphan, Remembered, Standing, collect, orphans};
use replank_execution::{Outcome, RunDir};
use replank_planning::journal::RunState;
use replank_planning::plan::Plan;
use replank_provider_protocol::verbs::{CreateParams, MachineParams, MachineSpec, Mutation};
use replank_provider_protocol::{Epoch, OperationId, Role, RunId};
use std::collections::BTreeMap;

/// The mutation of whoever had the lock first.
fn mutation(plan: &Plan, run: &RunId, operation: &str) -> Mutation {
    Mutation {
        operation: OperationId::new(operation),
        run: run.clone(),
        cluster: plan.cluster.uid.to_string(),
        epoch: Epoch(1),
    }
}

/// A machine that a run made and lost sight of; no Node comes of it.
async fn lost_machine(cluster: &Cluster, plan: &Plan, run: &RunId) -> String {
    let like = cluster.machine_id("w2");
    let spec = MachineSpec {
        name: format!("lost-{run}"),
        role: Role::Worker,
        like: like.as_str().into(),
        labels: BTreeMap::default(),
    };
    let params = CreateParams {
        mutation: mutation(plan, run, &format!("{run}/lost")),
        spec,
        user_data: String::new(),
    };
    cluster.world().provider.create(params).await.unwrap();
    cluster.machine_id(&format!("lost-{run}"))
}

fn shown(orphans: &[Orphan]) -> Vec<(String, Standing)> {
    let name = |made: &Made| match made {
        Made::Machine { name, .. } => name.clone(),
        Made::Snapshot { machine, .. } => format!("snapshot of {machine}"),
    };
    let mut shown: Vec<_> = orphans.iter().map(|o| (name(&o.made), o.standing)).collect();
    shown.sort();
    shown
}

#[tokio::test(start_paused = true)]
async fn only_what_nobody_remembers_is_deleted_and_under_an_epoch_of_its_own() {
    let cluster = Cluster::with_workers(&["w1", "w2"]).await;
    let plan = plans::replacing(cluster.observed().await, &["w1"]);
    let run = plan.run_id().unwrap();
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    let lost = lost_machine(&cluster, &plan, &run).await;
    // Of a run that this machine knows nothing of.
    lost_machine(&cluster, &plan, &RunId::new("run-elsewhere")).await;

    let (_, journalled) = RunDir::look(directory.path()).unwrap();
    let state = journalled.unwrap().state;
    let remembered = [Remembered { plan: &plan, state: &state }];
    let world = cluster.world();
    let uid = &plan.cluster.uid;
    let found = orphans(&world, uid, &remembered).await.unwrap();
    let elsewhere = ("lost-run-elsewhere".to_owned(), Standing::Unknown);
    assert_eq!(shown(&found), [(format!("lost-{run}"), Standing::Forgotten), elsewhere.clone()]);
    let nothing_known = orphans(&world, uid, &[]).await.unwrap();
    assert!(nothing_known.iter().all(|o| o.standing == Standing::Unknown), "{nothing_known:?}");
    assert!(nothing_known.len() > found.len(), "the run's snapshot is remembered by its journal only");

    let before = world.api().find("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/replank").await;
    let doomed: Vec<Orphan> = found.into_iter().filter(|o| o.standing == Standing::Forgotten).collect();
    let gone = collect(&world, uid, &remembered, &doomed, "gc".into(), |_| ()).await.unwrap();
    assert_eq!(gone, doomed);
    assert!(cluster.datacenter.machines().iter().all(|m| m.id != lost));
    assert_eq!(shown(&orphans(&world, uid, &remembered).await.unwrap()), [elsewhere]);

    // The Lease still tells how far the run has come, and the epoch of before is refused.
    let after = world.api().find("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/replank").await;
    let note = |lease: &serde_json::Value, key: &str| lease["metadata"]["annotations"][key].clone();
    let (before, after) = (before.unwrap().unwrap(), after.unwrap().unwrap());
    for key in ["replank.dev/run", "replank.dev/records"] {
        assert_eq!(note(&before, key), note(&after, key), "{key}");
    }
    assert_ne!(note(&before, "replank.dev/epoch"), note(&after, "replank.dev/epoch"));
    let stale = MachineParams {
        mutation: mutation(&plan, &run, "stale"),
        machine: cluster.machine_id("w2").as_str().into(),
    };
    let denied = world.provider.stop(stale).await.unwrap_err();
    assert_eq!(denied.code, replank_provider_protocol::ErrorCode::Denied);
    // Asking again does nothing.
    assert_eq!(collect(&world, uid, &remembered, &doomed, "gc".into(), |_| ()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn what_a_run_may_still_take_up_is_no_orphan_of_a_forgotten_one() {
    let cluster = Cluster::with_workers(&["w1", "w2"]).await;
    let plan = plans::replacing(cluster.observed().await, &["w1"]);
    let run = plan.run_id().unwrap();
    lost_machine(&cluster, &plan, &run).await;
    let state = RunState::default();
    let found =
        orphans(&cluster.world(), &plan.cluster.uid, &[Remembered { plan: &plan, state: &state }]).await;
    assert_eq!(shown(&found.unwrap()), [(format!("lost-{run}"), Standing::Unfinished)]);
}
