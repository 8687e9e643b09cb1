//! Faults that pass by themselves, and faults that don't.

use crate::cluster::condition;
use crate::migration::{migrate, planned_for, small, world_of};
use crate::runs::journal;
use replank_execution::api::{Follow, PatchKind};
use replank_execution::{Engine, Outcome, RunDir, RunError};
use replank_planning::intent::Strategy;
use replank_provider_protocol::Epoch;
use replank_provider_protocol::verbs::{MachineParams, Mutation, Progress};
use replank_simulator::faults::Fault;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

fn raise(cluster: &replank_simulator::scenario::Cluster, fault: Fault) {
    cluster.server.faults().raise(fault);
}

#[tokio::test(start_paused = true)]
async fn what_passes_by_itself_never_pauses_a_run() {
    let ours = |name: &str| Fault::named(name).client("replank");
    let stories: Vec<(&str, Vec<Fault>)> = vec![
        ("429", vec![ours("too-many-requests").rate(0.2)]),
        ("500", vec![ours("internal-error").rate(0.2)]),
        ("503", vec![ours("unavailable").rate(0.2)]),
        ("409", vec![ours("conflict").rate(0.2)]),
        ("dropped", vec![ours("dropped-connection").rate(0.2)]),
        ("lost", vec![ours("lost-response").rate(0.2)]),
        ("watches", vec![Fault::named("watch-ends").delay(Duration::from_secs(5))]),
        ("slow", vec![ours("slow").delay(Duration::from_secs(2))]),
        ("machines", vec![Fault::named("machine-api-unavailable").rate(0.2)]),
        ("machines lost", vec![Fault::named("machine-api-lost-response").rate(0.3)]),
        ("no capacity", vec![Fault::named("machine-create-fails").count(2)]),
        ("slow boot", vec![Fault::named("machine-never-boots").delay(Duration::from_secs(120)).count(1)]),
        ("failed boot", vec![Fault::named("machine-boot-fails").count(2)]),
        ("command", vec![Fault::named("host-command-fails").count(2)]),
        ("host", vec![Fault::named("host-unreachable").rate(0.2)]),
        ("snapshot", vec![Fault::named("snapshot-fails").count(1)]),
        ("images", vec![Fault::named("image-pull-fails").count(3)]),
    ];
    for (name, faults) in stories {
        let cluster = small().await;
        let plan = planned_for(&cluster, Strategy::Rolling).await;
        for fault in faults {
            raise(&cluster, fault);
        }
        let directory = tempfile::tempdir().unwrap();
        let outcome = migrate(&cluster, plan, directory.path()).await;
        assert_eq!(outcome, Outcome::Finished, "{name}: {}", journal(directory.path()));
        assert!(!journal(directory.path()).contains("\"record\":\"paused\""), "{name}");
        let made = cluster.datacenter.machines();
        assert_eq!(made.len(), 6, "{name}: {made:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_pauses_with_a_reason_and_goes_on_once_it_is_lifted() {
    let ours = |name: &str| Fault::named(name).client("replank");
    let stories: Vec<(&str, Fault)> = vec![
        ("never boots", Fault::named("machine-never-boots")),
        ("boot fails", Fault::named("machine-boot-fails")),
        ("never joins", Fault::named("kubelet-never-joins")),
        ("images", Fault::named("image-pull-fails")),
        ("commands", Fault::named("host-command-fails")),
        ("hosts", Fault::named("host-unreachable")),
        ("api", ours("unavailable")),
        ("machine api", Fault::named("machine-api-unavailable")),
        ("no capacity", Fault::named("machine-create-fails")),
        ("snapshots", Fault::named("snapshot-fails")),
        ("stuck pods", Fault::named("pod-stuck-terminating")),
        ("never ready", Fault::named("pod-never-ready")),
    ];
    for (name, fault) in stories {
        let cluster = small().await;
        let plan = planned_for(&cluster, Strategy::Rolling).await;
        let directory = tempfile::tempdir().unwrap();
        let later = async {
            // Some strike only a run that is under way.
            if name == "api" {
                tokio::time::sleep(Duration::from_secs(70)).await;
            }
            raise(&cluster, fault);
        };
        let (outcome, ()) = tokio::join!(migrate(&cluster, plan.clone(), directory.path()), later);
        let Outcome::Paused { reason, step } = outcome else { panic!("{name}: {outcome:?}") };
        assert!(step.is_some() && !reason.to_string().is_empty(), "{name}");
        cluster.server.faults().lift_all();
        let outcome = migrate(&cluster, plan, directory.path()).await;
        assert_eq!(outcome, Outcome::Finished, "{name}: {}", journal(directory.path()));
        let made = cluster.datacenter.machines();
        assert_eq!(made.len(), 6, "{name}: {made:#?}");
    }
}

/// The only API server of a cluster restarts on the run's own account; who was killed then must find it again.
#[tokio::test(start_paused = true)]
async fn a_run_that_was_begun_waits_for_an_api_server_that_restarts_and_another_does_not() {
    let cluster = small().await;
    let plan = planned_for(&cluster, Strategy::Rolling).await;
    let directory = tempfile::tempdir().unwrap();
    let away = || raise(&cluster, Fault::named("unavailable").client("replank"));

    away();
    let (events, _told) = unbounded_channel();
    let run_dir = RunDir::open(directory.path()).unwrap();
    let first = Engine::new(world_of(&cluster), plan.clone(), run_dir, events, CancellationToken::new());
    let refused = first.apply().await;
    assert!(matches!(refused, Err(RunError::Api(_))), "{refused:?}");
    cluster.server.faults().lift_all();

    let killed =
        tokio::time::timeout(Duration::from_secs(60), migrate(&cluster, plan.clone(), directory.path()));
    assert!(killed.await.is_err(), "it was killed under way");
    away();
    let back = async {
        tokio::time::sleep(Duration::from_secs(90)).await;
        cluster.server.faults().lift_all();
    };
    let (outcome, ()) = tokio::join!(migrate(&cluster, plan, directory.path()), back);
    assert_eq!(outcome, Outcome::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_had_again_is_told_though_nothing_has_changed() {
    let cluster = small().await;
    let mut follow = Follow::new(world_of(&cluster).api(), "/apis/apps/v1/daemonsets", "");
    assert!(follow.advance().await.unwrap(), "the list");
    raise(&cluster, Fault::named("unavailable").verb("watch").resource("daemonsets").count(2));
    for _ in 0..2 {
        assert!(follow.advance().await.unwrap_err().may_pass());
    }
    // Or whoever waits would go on saying that it waits for the API server.
    let told = tokio::time::timeout(Duration::from_secs(10), follow.advance()).await;
    assert!(matches!(told, Ok(Ok(true))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn who_looks_elsewhere_now_and_then_still_gets_a_broken_watch_back() {
    let cluster = small().await;
    let mut follow = Follow::new(world_of(&cluster).api(), "/apis/apps/v1/daemonsets", "");
    let mut looked = async |seconds: u64| {
        let mut seen = false;
        for _ in 0..seconds / 3 {
            let answer = tokio::time::timeout(Duration::from_secs(3), follow.advance()).await;
            seen |= matches!(answer, Ok(Ok(true)));
        }
        seen
    };
    assert!(looked(3).await, "the list");
    let broken = cluster.server.faults().raise(Fault::named("api-server-away"));
    assert!(!looked(60).await);
    cluster.server.faults().lift(broken);
    assert!(looked(12).await, "the watch is there again");
}

#[tokio::test(start_paused = true)]
async fn cluster_dns_finds_a_replacement_that_took_no_pods_at_first() {
    let cluster = small().await;
    let plan = planned_for(&cluster, Strategy::Rolling).await;
    let api = world_of(&cluster).api();
    let directory = tempfile::tempdir().unwrap();
    let mark = |unschedulable: bool| json!({"spec": {"unschedulable": unschedulable}});
    let node = "/api/v1/nodes/worker-1-r2";
    let closed_at_first = async {
        // Just let in, and closed again before the third pod of CoreDNS is scheduled.
        loop {
            let gated = |n: &Value| n["metadata"]["labels"]["replank.dev/network"].is_null();
            match api.find(node).await.unwrap() {
                Some(there) if !gated(&there) => break,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        api.patch(node, PatchKind::Merge, &mark(true)).await.unwrap();
        loop {
            let pods =
                api.list("/api/v1/namespaces/kube-system/pods", "labelSelector=k8s-app%3Dkube-dns").await;
            if pods.unwrap().0.iter().filter(|p| condition(p, "Ready") == "True").count() == 3 {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        api.patch(node, PatchKind::Merge, &mark(false)).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(migrate(&cluster, plan, directory.path()), closed_at_first);
    let journal = journal(directory.path());
    assert_eq!(outcome, Outcome::Finished, "{journal}");
    assert!(journal.contains("\"code\":\"foothold\"") || journal.contains("on old nodes"), "{journal}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_goes_down_while_it_joins_is_replaced_at_once() {
    let cluster = small().await;
    let plan = planned_for(&cluster, Strategy::Rolling).await;
    let provider = world_of(&cluster).provider;
    let directory = tempfile::tempdir().unwrap();
    let goes_down = async {
        let made = loop {
            match cluster.datacenter.machines().into_iter().find(|m| m.name == "worker-1-r2") {
                Some(made) => break made,
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
        let mutation = Mutation {
            operation: "power-cut".into(),
            run: "somebody".into(),
            cluster: "theirs".into(),
            epoch: Epoch(1),
        };
        let stop = MachineParams { mutation, machine: made.id.as_str().into() };
        while let Ok(Progress::Pending { .. }) = provider.stop(stop.clone()).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        cluster.server.clock().now()
    };
    let (outcome, down) = tokio::join!(migrate(&cluster, plan, directory.path()), goes_down);
    let journal = journal(directory.path());
    assert_eq!(outcome, Outcome::Finished, "{journal}");
    assert!(!journal.contains("\"record\":\"paused\""), "{journal}");
    let created = journal.lines().find(|l| l.contains("\"succeeded\"") && l.contains("worker-1/create"));
    let entry: Value = serde_json::from_str(created.expect("it was created")).unwrap();
    let created: k8s_openapi::jiff::Timestamp = entry["time"].as_str().unwrap().parse().unwrap();
    let took = created.as_second() - down.as_second();
    assert!(took < 180, "it was given up after {took} s");
}
