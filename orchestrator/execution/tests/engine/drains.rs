//! Pods that leave, and pods that don't.

use crate::cluster::{Cluster, condition};
use crate::plans::{self, Draft};
use crate::runs::{apply, journal};
use replank_execution::Outcome;
use replank_planning::intent::{AtDeadline, DrainRules};
use replank_planning::plan::Plan;
use replank_planning::waiting::{PauseReason, PodDrainState, Refusal, Waiting};
use replank_simulator::faults::Fault;
use serde_json::{Value, json};
use std::time::Duration;

/// A cluster with a Deployment under a budget, and a plan that drains `w1` by these rules.
async fn prepared(budget: Option<Value>, rules: DrainRules) -> (Cluster, Plan) {
    let cluster = Cluster::with_workers(&["w1", "w2"]).await;
    cluster.deployment("web", 4).await;
    if let Some(spec) = budget {
        cluster.budget("web", spec).await;
    }
    let plan = draining(&cluster, rules).await;
    (cluster, plan)
}

async fn draining(cluster: &Cluster, rules: DrainRules) -> Plan {
    let mut draft = Draft::new(cluster.observed().await);
    draft.drain_only("w1", rules);
    draft.plan()
}

fn pods_on(pods: &[Value], node: &str) -> usize {
    pods.iter().filter(|p| p["spec"]["nodeName"] == node).count()
}

fn rules(deadline_seconds: u64) -> DrainRules {
    DrainRules { deadline_seconds, ..DrainRules::default() }
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_never_overspent_and_the_drain_ends() {
    let budget = json!({"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}});
    let (cluster, plan) = prepared(Some(budget), rules(900)).await;
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    let pods = cluster.list("/api/v1/namespaces/default/pods").await;
    assert_eq!(pods_on(&pods, "w1"), 0);
    let refused = cluster
        .server
        .requests()
        .count(|r| &*r.resource == "pods/eviction" && r.client.starts_with("replank") && r.status == 429);
    assert!(refused > 0, "the budget never had to say no");
    assert!(journal(directory.path()).contains("\"blockedByBudget\""));
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_never_allows_ends_in_a_pause_that_names_it() {
    let budget = json!({"minAvailable": 4, "selector": {"matchLabels": {"app": "web"}}});
    let (cluster, plan) = prepared(Some(budget), rules(120)).await;
    let directory = tempfile::tempdir().unwrap();
    let outcome = apply(&cluster, &plan, directory.path()).await.unwrap();
    let Outcome::Paused { reason: PauseReason::Deadline { waiting, seconds: 120 }, .. } = outcome else {
        panic!("{outcome:?}");
    };
    let Waiting::Draining { pods, .. } = *waiting else { panic!("{waiting:?}") };
    assert!(!pods.is_empty());
    for pod in pods {
        let PodDrainState::BlockedByBudget { budget, .. } = pod.state else { panic!("{pod:?}") };
        assert_eq!(budget, "default/web");
    }
    // The budget is loosened; the same command goes on.
    let budget = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/web";
    let loose = json!({"spec": {"minAvailable": 1}});
    let api = cluster.world().api();
    api.patch(budget, replank_execution::api::PatchKind::Merge, &loose).await.unwrap();
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
}

#[tokio::test(start_paused = true)]
async fn how_long_a_budget_holds_a_pod_is_told_though_other_reasons_come_and_go() {
    let budget = json!({"minAvailable": 4, "selector": {"matchLabels": {"app": "web"}}});
    let (cluster, plan) = prepared(Some(budget), rules(300)).await;
    let later = async {
        tokio::time::sleep(Duration::from_secs(120)).await;
        // Another pod comes to the node, and what the step waits for is another thing.
        cluster.pod("late", "w1", json!({})).await;
    };
    let directory = tempfile::tempdir().unwrap();
    let plan = plans::accepting_bare(plan, "Pod default/late");
    let began = cluster.world().clock.now();
    let (outcome, ()) = tokio::join!(apply(&cluster, &plan, directory.path()), later);
    let Outcome::Paused { reason: PauseReason::Deadline { waiting, .. }, .. } = outcome.unwrap() else {
        panic!("no deadline passed");
    };
    let said = waiting.to_string();
    let since = said.split_once(" since ").expect("it says since when").1;
    let since: k8s_openapi::jiff::Timestamp = since.parse().unwrap();
    assert!(since.duration_since(began).as_secs() < 60, "{said}");
}

#[tokio::test(start_paused = true)]
async fn only_who_said_so_has_pods_deleted_at_the_deadline() {
    let budget = json!({"minAvailable": 4, "selector": {"matchLabels": {"app": "web"}}});
    let force = DrainRules { at_deadline: AtDeadline::Delete, ..rules(60) };
    let (cluster, plan) = prepared(Some(budget), force).await;
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    let pods = cluster.list("/api/v1/namespaces/default/pods").await;
    assert_eq!(pods_on(&pods, "w1"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_under_two_budgets_is_refused_after_all_others_left() {
    let budget = json!({"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}});
    let (cluster, plan) = prepared(Some(budget.clone()), rules(900)).await;
    cluster.budget("web-too", budget).await;
    let directory = tempfile::tempdir().unwrap();
    let outcome = apply(&cluster, &plan, directory.path()).await.unwrap();
    let Outcome::Paused {
        reason: PauseReason::Refused { refusal: Refusal::Server { action, message } }, ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert!(action.contains("default/web-") && message.contains("more than one"), "{action}: {message}");
    let system = cluster.list("/api/v1/namespaces/kube-system/pods").await;
    let coredns = system.iter().filter(|p| p["metadata"]["labels"]["k8s-app"] == "kube-dns");
    assert!(coredns.clone().all(|p| p["spec"]["nodeName"] != "w1"));
}

#[tokio::test(start_paused = true)]
async fn a_bare_pod_needs_a_word_before_anything_is_evicted() {
    let (cluster, plan) = prepared(None, rules(900)).await;
    cluster.pod("lone", "w1", json!({})).await;
    let directory = tempfile::tempdir().unwrap();
    let before = pods_on(&cluster.list("/api/v1/pods").await, "w1");
    let outcome = apply(&cluster, &plan, directory.path()).await.unwrap();
    let Outcome::Paused { reason: PauseReason::Refused { refusal }, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(refusal.to_string().contains("--accept bare-pod:Pod default/lone"), "{refusal}");
    assert_eq!(pods_on(&cluster.list("/api/v1/pods").await, "w1"), before);

    let plan = plans::accepting_bare(plan, "Pod default/lone");
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lacks_a_word_goes_on_once_the_pod_was_deleted_by_hand() {
    let (cluster, plan) = prepared(None, rules(900)).await;
    cluster.pod("lone", "w1", json!({})).await;
    let directory = tempfile::tempdir().unwrap();
    let outcome = apply(&cluster, &plan, directory.path()).await.unwrap();
    let Outcome::Paused { reason: PauseReason::Refused { refusal }, .. } = outcome else {
        panic!("{outcome:?}")
    };
    // What it tells to do is what can be done: no flag gives a run that has begun another consent.
    for way in ["delete", "`replank apply`", "`replank rollback`"] {
        assert!(refusal.to_string().contains(way), "{refusal}");
    }

    let lone = "/api/v1/namespaces/default/pods/lone";
    let api = cluster.world().api();
    let uid = api.get(lone).await.unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    api.delete(lone, &uid).await.unwrap();

    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
}

#[tokio::test(start_paused = true)]
async fn an_empty_dir_needs_a_word_too() {
    let (cluster, plan) = prepared(None, rules(900)).await;
    let volume = json!({"volumes": [{"name": "scratch", "emptyDir": {}}]});
    cluster.pod("lone", "w1", volume).await;
    let directory = tempfile::tempdir().unwrap();
    let outcome =
        apply(&cluster, &plans::accepting_bare(plan, "Pod default/lone"), directory.path()).await.unwrap();
    let Outcome::Paused { reason, .. } = outcome else { panic!("{outcome:?}") };
    assert!(reason.to_string().contains("emptyDir volume scratch"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn failing_evictions_are_asked_for_again() {
    let (cluster, plan) = prepared(None, rules(900)).await;
    let fault = Fault::named("internal-error").resource("pods/eviction").client("replank").count(6);
    cluster.server.faults().raise(fault);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_once_is_asked_for_once() {
    // One 429 without a budget makes one more request, after a pause: nobody else retries for us.
    let (cluster, plan) = prepared(None, rules(900)).await;
    let fault = Fault::named("too-many-requests").resource("pods/eviction").client("replank").count(1);
    cluster.server.faults().raise(fault);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    let asked =
        |r: &replank_simulator::server::Request| &*r.resource == "pods/eviction" && r.verb == "create";
    let evictions = cluster.server.requests().select(asked);
    let pods = evictions.iter().filter(|r| r.status < 300).count();
    assert_eq!(evictions.len(), pods + 1);
    let refused = evictions.iter().find(|r| r.status == 429).unwrap();
    let again = evictions.iter().rfind(|r| r.url == refused.url).unwrap();
    assert!(again.at.duration_since(refused.at) >= Duration::from_secs(1).try_into().unwrap());
}

#[tokio::test(start_paused = true)]
async fn pods_that_belong_to_the_node_stay() {
    let (cluster, plan) = prepared(None, rules(900)).await;
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    let left = cluster.list("/api/v1/pods").await;
    let left: Vec<&Value> = left.iter().filter(|p| p["spec"]["nodeName"] == "w1").collect();
    assert!(!left.is_empty());
    for pod in left {
        assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "DaemonSet");
        assert_eq!(condition(pod, "Ready"), "True");
    }
}
