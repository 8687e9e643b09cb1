//! Each guard, taken away: what it kept from happening happens.

use crate::cluster::condition;
use crate::migration::{migrate_with, planned_for, small, unlike};
use crate::runs::journal;
use replank_execution::{Guards, Outcome};
use replank_planning::intent::Strategy;
use replank_planning::plan::{Action, Plan};
use replank_simulator::scenario::Cluster;
use replank_simulator::schema::builtin::NODES;
use std::collections::BTreeMap;
use std::time::Duration;
use tempfile::TempDir;

struct Story {
    cluster: Cluster,
    plan: Plan,
    outcome: Outcome,
    directory: TempDir,
    fewest_ready: usize,
}

/// A migration without some guards, watched from outside.
async fn without(names: &[&str]) -> Story {
    let cluster = small().await;
    let plan = planned_for(&cluster, Strategy::Rolling).await;
    let directory = tempfile::tempdir().unwrap();
    let guards = Guards::without(names.iter().copied()).unwrap();
    let direct = cluster.server.direct("watcher");
    let mut fewest_ready = usize::MAX;
    let mut run = Box::pin(migrate_with(&cluster, plan.clone(), directory.path(), guards));
    let outcome = loop {
        tokio::select! {
            outcome = &mut run => break outcome,
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                let ready = direct.list(&NODES, None).iter().filter(|n| condition(n, "Ready") == "True").count();
                fewest_ready = fewest_ready.min(ready);
            }
        }
    };
    drop(run);
    Story { cluster, plan, outcome, directory, fewest_ready }
}

fn count(story: &Story, effect: &str) -> usize {
    story.cluster.datacenter.effects().iter().filter(|e| e.effect == effect).count()
}

fn by_us(story: &Story, verb: &str, resource: &str) -> usize {
    let ours = |r: &replank_simulator::server::Request| {
        r.client.starts_with("replank") && r.verb == verb && &*r.resource == resource && r.status < 300
    };
    story.cluster.server.requests().count(ours)
}

/// A bootstrap token, whole, in a text.
fn holds_a_token(text: &str) -> bool {
    let letters = |word: &str, length: usize| {
        word.len() == length && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    text.split('"')
        .any(|word| word.split_once('.').is_some_and(|(id, secret)| letters(id, 6) && letters(secret, 16)))
}

fn repeated_ranges(story: &Story) -> usize {
    let mut ranges: BTreeMap<String, usize> = BTreeMap::new();
    for node in story.cluster.server.direct("watcher").list(&NODES, None) {
        *ranges.entry(node["spec"]["podCIDR"].to_string()).or_default() += 1;
    }
    ranges.values().filter(|count| **count > 1).count()
}

fn left_of_the_plan(story: &Story) -> Vec<String> {
    let named: Vec<String> = story
        .plan
        .steps
        .iter()
        .filter_map(|s| match &s.action {
            Action::RemoveObjects(remove) => Some(remove),
            _ => None,
        })
        .flat_map(|r| r.stages.iter().flat_map(|s| s.objects.iter()))
        .map(|id| id.object.to_string())
        .collect();
    let there = story.cluster.objects();
    let there = there.iter().map(|(resource, object)| {
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        match text("namespace") {
            empty if empty.is_empty() => format!("{} {}", resource.kind, text("name")),
            namespace => format!("{} {namespace}/{}", resource.kind, text("name")),
        }
    });
    there.filter(|object| named.contains(object)).collect()
}

#[tokio::test(start_paused = true)]
async fn with_all_guards_nothing_of_this_happens() {
    let story = without(&[]).await;
    assert_eq!(story.outcome, Outcome::Finished);
    assert!(story.fewest_ready >= 3);
    assert_eq!((count(&story, "create"), count(&story, "stop"), count(&story, "delete")), (6, 3, 0));
    assert_eq!(by_us(&story, "delete", "pods"), 0);
    assert!(by_us(&story, "create", "pods/eviction") > 0);
    assert!(!holds_a_token(&journal(story.directory.path())));
    assert_eq!(repeated_ranges(&story), 0);
    assert_eq!(left_of_the_plan(&story), [""; 0]);
    let unlike = unlike(&story.cluster);
    assert!(!unlike.iter().any(|o| o.starts_with("lost") || o.starts_with("changed")), "{unlike:#?}");
    assert!(story.cluster.datacenter.etcd().has_quorum());
}

#[tokio::test(start_paused = true)]
async fn without_its_guard_the_controller_manager_would_not_start() {
    let story = without(&["controller-manager-would-start"]).await;
    assert!(matches!(story.outcome, Outcome::Paused { .. }), "{:?}", story.outcome);
    let api = story.cluster.server.direct("watcher");
    let pods = api.list(&replank_simulator::schema::builtin::PODS, Some("kube-system"));
    let manager =
        pods.iter().find(|p| p["metadata"]["labels"]["component"] == "kube-controller-manager").unwrap();
    assert!(manager["status"]["containerStatuses"][0]["restartCount"].as_u64() > Some(2));
}

#[tokio::test(start_paused = true)]
async fn without_its_guard_ranges_meet() {
    assert!(repeated_ranges(&without(&["pod-cidr-disjoint"]).await) > 0);
}

#[tokio::test(start_paused = true)]
async fn without_its_guard_budgets_are_not_asked() {
    let story = without(&["pdb"]).await;
    assert!(by_us(&story, "delete", "pods") > 0);
    assert_eq!(by_us(&story, "create", "pods/eviction"), 0);
}

#[tokio::test(start_paused = true)]
async fn without_its_guard_too_few_nodes_are_ready() {
    let story = without(&["ready-nodes"]).await;
    assert!(story.fewest_ready < 3, "{}", story.fewest_ready);
}

#[tokio::test(start_paused = true)]
async fn without_its_guard_etcd_loses_its_quorum() {
    let story = without(&["etcd-quorum"]).await;
    assert!(!story.cluster.datacenter.etcd().has_quorum());
}

#[tokio::test(start_paused = true)]
async fn without_its_guard_an_effect_happens_twice() {
    let story = without(&["effect-once"]).await;
    assert_eq!(count(&story, "create"), 9);
}

#[tokio::test(start_paused = true)]
async fn without_its_guard_machines_are_orphaned() {
    let story = without(&["no-orphan"]).await;
    assert!(story.cluster.datacenter.machines().iter().any(|m| m.name.ends_with("-forgotten")));
}

#[tokio::test(start_paused = true)]
async fn without_its_guard_nothing_is_kept() {
    let story = without(&["kept-until-finalize"]).await;
    assert_eq!(count(&story, "delete"), 3);
}

#[tokio::test(start_paused = true)]
async fn without_its_guard_bystanders_are_changed() {
    let story = without(&["only-planned-changes"]).await;
    let went = unlike(&story.cluster);
    assert!(
        went.iter().any(|o| o.starts_with("went: /ConfigMap/") && !o.contains("/kube-system/")),
        "{went:#?}"
    );
    assert!(went.iter().any(|o| o.starts_with("changed: core/ConfigMap/")), "{went:#?}");
}

#[tokio::test(start_paused = true)]
async fn without_its_guard_a_secret_is_written() {
    let story = without(&["no-secret-written"]).await;
    assert!(holds_a_token(&journal(story.directory.path())));
}

#[tokio::test(start_paused = true)]
async fn without_its_guard_a_removal_is_skipped() {
    let story = without(&["removal"]).await;
    assert_eq!(left_of_the_plan(&story).len(), 1);
}

#[test]
fn an_unknown_guard_is_refused_with_the_names_of_all() {
    let error = Guards::without(["pbd"]).unwrap_err().to_string();
    assert!(error.contains("pbd") && error.contains("pod-cidr-disjoint"), "{error}");
}
