//! The conformance suite against this provider: in process, on virtual time.

use replank_provider_kit::conformance::{CaseReport, Options, Outcome, Report, Subject, check, names};
use replank_provider_protocol::MachineId;
use replank_provider_simulator::SimulatorProvider;
use replank_simulator::Clock;
use replank_simulator::scenario::{Cluster, ClusterSpec};
use serde_json::{Value, json};
use std::sync::Arc;

async fn cluster() -> Cluster {
    let spec = ClusterSpec { control_planes: 1, workers: 1, pods: 2, seed: 3, ..ClusterSpec::default() };
    Cluster::build(spec, Clock::fixed()).await.expect("the cluster comes up")
}

fn subject(cluster: &Cluster) -> Subject {
    with(cluster, Value::Null)
}

fn with(cluster: &Cluster, settings: Value) -> Subject {
    let client = cluster.client("conformance");
    let make = move || Arc::new(SimulatorProvider::new(client.clone())) as _;
    Subject::InProcess { make: Box::new(make), settings }
}

fn shown(report: &Report) -> String {
    let lines = report.cases.iter().map(|c| format!("{} {}: {}", c.result.word(), c.name, c.reason));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn the_provider_keeps_every_rule() {
    let cluster = cluster().await;
    let options = Options { destructive: true, ..Options::default() };
    let report = check(&subject(&cluster), &options, |_| {}).await;
    assert_eq!(report.summary.failed, 0, "{}", shown(&report));
    // What is skipped is for providers that can do less, or that have a process of their own.
    let skipped: Vec<_> = report.with(Outcome::Skipped).map(|c| c.name.as_str()).collect();
    let expected = [
        "wire/the_end_of_its_input_ends_it",
        "power/stop_is_invalid_where_nothing_is_kept",
        "snapshot/is_invalid_without_it",
        "balancer/is_invalid_without_one",
        "hosts/is_invalid_without_it",
    ];
    let for_others = |name: &&str| name.starts_with("in_place/");
    assert_eq!(skipped.iter().filter(|n| for_others(n)).count(), 6, "{}", shown(&report));
    let skipped: Vec<_> = skipped.into_iter().filter(|n| !for_others(n)).collect();
    assert_eq!(skipped, expected, "{}", shown(&report));
    assert!(report.summary.passed > 100, "{}", shown(&report));
}

/// A machine that somebody named for it is joined again; no machine is, without being named.
#[tokio::test(start_paused = true)]
async fn machines_that_are_joined_again_keep_their_rules() {
    let cluster = cluster().await;
    let subject = with(&cluster, json!({"inPlace": true}));
    let passed = |report: &Report| {
        let rejoined = |c: &&CaseReport| c.name.starts_with("in_place/");
        report.with(Outcome::Passed).filter(rejoined).count()
    };
    let effects = cluster.datacenter.effects().len();
    let unnamed = Options { destructive: true, ..Options::default() };
    let report = check(&subject, &unnamed, |_| {}).await;
    assert_eq!((report.summary.failed, passed(&report)), (0, 0), "{}", shown(&report));
    assert_eq!(cluster.datacenter.effects().len(), effects, "nobody said which machine may be cleaned");

    let worker = cluster.datacenter.machines().into_iter().find(|m| m.name.contains("worker"));
    let like = worker.map(|m| MachineId::new(m.id));
    let report = check(&subject, &Options { like, ..unnamed }, |_| {}).await;
    assert_eq!((report.summary.failed, passed(&report)), (0, 6), "{}", shown(&report));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_touched_without_the_word() {
    let cluster = cluster().await;
    let effects = cluster.datacenter.effects().len();
    let report = check(&subject(&cluster), &Options::default(), |_| {}).await;
    assert_eq!(report.summary.failed, 0, "{}", shown(&report));
    assert_eq!(cluster.datacenter.effects().len(), effects, "something was changed");
    let reason = |name: &str| {
        let case = report.cases.iter().find(|c| c.name == name).expect(name);
        (case.result, case.reason.clone())
    };
    let (result, why) = reason("delete/again_is_done");
    assert_eq!(result, Outcome::Skipped);
    assert!(why.contains("--destructive"), "{why}");
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names = names();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}
