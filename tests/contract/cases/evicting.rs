//! Evictions and budgets.

use super::cases;
use crate::peer::{Answer, Peer, pod, refused, text};
use serde_json::{Value, json};

cases![
    an_eviction_without_a_budget_ends_the_pod,
    a_budget_blocks_with_its_name,
    two_budgets_are_an_error_of_the_server,
    an_eviction_of_nothing_is_not_found,
    an_eviction_is_for_one_incarnation,
    a_dry_eviction_ends_nobody,
    a_dry_eviction_is_blocked_too,
    a_dry_eviction_spends_nothing,
    a_budget_that_can_not_count_blocks,
    an_eviction_spends_the_budget,
    an_eviction_has_a_grace_of_its_own,
    a_pod_that_never_ran_asks_no_budget,
    a_pod_that_has_ended_asks_no_budget,
    an_unready_pod_goes_where_the_budget_says_so,
    an_evicted_pod_is_marked,
    an_ending_pod_may_be_evicted_again,
    a_budget_counts_what_its_owner_wants,
];

async fn evict(peer: &Peer, pod: &str, options: Value) -> Answer {
    let mut parts = pod.rsplit('/');
    let name = parts.next().unwrap();
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": parts.nth(1).unwrap()}, "deleteOptions": options,
    });
    peer.create(&format!("{pod}/eviction"), &body).await
}

/// A budget in a namespace, once its controller has counted the pods.
async fn budget(peer: &Peer, namespace: &str, name: &str, spec: Value, expected: u64) -> String {
    let budgets = format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets");
    peer.made(&budgets, &json!({"metadata": {"name": name}, "spec": spec})).await;
    let path = format!("{budgets}/{name}");
    let counted = |b: &Value| {
        b["status"]["observedGeneration"] == b["metadata"]["generation"]
            && b["status"]["currentHealthy"] == expected
    };
    peer.becomes(&path, "the budget to be counted", counted).await;
    path
}

fn selector() -> Value {
    json!({"matchLabels": {"app": "db"}})
}

/// A pod `app=db` that is ready.
async fn db(peer: &Peer, namespace: &str) -> String {
    let pod = peer.bound_pod(namespace, json!({"app": "db"})).await;
    peer.ready(&pod).await;
    pod
}

fn ending(pod: &Value) -> bool {
    !text(pod, "/metadata/deletionTimestamp").is_empty()
}

async fn an_eviction_without_a_budget_ends_the_pod(peer: &Peer) {
    let pod = db(peer, &peer.namespace().await).await;
    let answer = evict(peer, &pod, json!({})).await.unwrap();
    assert_eq!((text(&answer, "/kind"), text(&answer, "/status")), ("Status", "Success"));
    assert!(ending(&peer.get(&pod).await));
}

async fn a_budget_blocks_with_its_name(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pod = db(peer, &namespace).await;
    budget(peer, &namespace, "keep", json!({"minAvailable": 1, "selector": selector()}), 1).await;
    let error = refused(evict(peer, &pod, json!({})).await);
    assert_eq!((error.code, error.reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(error.message, "Cannot evict pod as it would violate the pod's disruption budget.");
    let expected = "The disruption budget keep needs 1 healthy pods and has 1 currently";
    assert_eq!(error.causes, [("DisruptionBudget".to_owned(), expected.to_owned())]);
    assert!(!ending(&peer.get(&pod).await));
}

async fn two_budgets_are_an_error_of_the_server(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pod = db(peer, &namespace).await;
    for name in ["one", "two"] {
        budget(peer, &namespace, name, json!({"maxUnavailable": 1, "selector": selector()}), 1).await;
    }
    let error = refused(evict(peer, &pod, json!({})).await);
    assert_eq!(error.code, 500);
    assert_eq!(
        error.message,
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    );
}

async fn an_eviction_of_nothing_is_not_found(peer: &Peer) {
    let namespace = peer.namespace().await;
    assert_eq!(
        refused(evict(peer, &format!("/api/v1/namespaces/{namespace}/pods/p"), json!({})).await).code,
        404
    );
}

async fn an_eviction_is_for_one_incarnation(peer: &Peer) {
    let pod = db(peer, &peer.namespace().await).await;
    let other = json!({"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}});
    let error = refused(evict(peer, &pod, other).await);
    assert_eq!((error.code, error.reason.as_str()), (409, "Conflict"));
    assert!(!ending(&peer.get(&pod).await));
    let uid = peer.get(&pod).await["metadata"]["uid"].clone();
    evict(peer, &pod, json!({"preconditions": {"uid": uid}})).await.unwrap();
}

async fn a_dry_eviction_ends_nobody(peer: &Peer) {
    let pod = db(peer, &peer.namespace().await).await;
    evict(peer, &pod, json!({"dryRun": ["All"]})).await.unwrap();
    assert!(!ending(&peer.get(&pod).await));
}

async fn a_dry_eviction_is_blocked_too(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pod = db(peer, &namespace).await;
    budget(peer, &namespace, "keep", json!({"minAvailable": 1, "selector": selector()}), 1).await;
    assert_eq!(refused(evict(peer, &pod, json!({"dryRun": ["All"]})).await).code, 429);
}

async fn a_dry_eviction_spends_nothing(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pods = managed(peer, &namespace, 2).await;
    let path = budget(peer, &namespace, "one", json!({"maxUnavailable": 1, "selector": selector()}), 2).await;
    for pod in &pods {
        evict(peer, pod, json!({"dryRun": ["All"]})).await.unwrap();
    }
    assert_eq!(peer.get(&path).await["status"]["disruptionsAllowed"], 1);
}

async fn a_budget_that_can_not_count_blocks(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pod = db(peer, &namespace).await;
    // Nobody knows how many there should be: the pod has no controller.
    budget(peer, &namespace, "some", json!({"maxUnavailable": 1, "selector": selector()}), 1).await;
    let error = refused(evict(peer, &pod, json!({})).await);
    let expected = "The disruption budget some needs 0 healthy pods and has 1 currently";
    assert_eq!((error.code, error.causes[0].1.as_str()), (429, expected));
}

/// Pods of a controller, so that budgets can count by percentage and `maxUnavailable`.
async fn managed(peer: &Peer, namespace: &str, replicas: u32) -> Vec<String> {
    let sets = format!("/apis/apps/v1/namespaces/{namespace}/replicasets");
    let set = json!({
        "metadata": {"name": "db"},
        "spec": {
            "replicas": replicas, "selector": selector(),
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {
                    "nodeSelector": {"contract.example/nowhere": "true"},
                    "containers": [{"name": "app", "image": "registry.example/app:1"}],
                },
            },
        },
    });
    peer.made(&sets, &set).await;
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let all = async || {
        let list = peer.get(&pods).await;
        let names: Vec<String> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| format!("{pods}/{}", text(p, "/metadata/name")))
            .collect();
        (names.len() == replicas as usize).then_some(names)
    };
    let names = peer.until("the set's pods", all).await;
    let (_, node) = peer.node(json!({})).await;
    for pod in &names {
        let name = pod.rsplit('/').next().unwrap();
        let bind =
            json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": node["metadata"]["name"]}});
        peer.made(&format!("{pod}/binding"), &bind).await;
        peer.ready(pod).await;
    }
    names
}

async fn an_eviction_spends_the_budget(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pods = managed(peer, &namespace, 2).await;
    let path = budget(peer, &namespace, "one", json!({"maxUnavailable": 1, "selector": selector()}), 2).await;
    assert_eq!(peer.get(&path).await["status"]["disruptionsAllowed"], 1);
    evict(peer, &pods[0], json!({})).await.unwrap();
    let error = refused(evict(peer, &pods[1], json!({})).await);
    assert_eq!(error.code, 429);
    assert_eq!(error.causes[0].0, "DisruptionBudget");
}

async fn an_eviction_has_a_grace_of_its_own(peer: &Peer) {
    let pod = db(peer, &peer.namespace().await).await;
    evict(peer, &pod, json!({"gracePeriodSeconds": 7})).await.unwrap();
    assert_eq!(peer.get(&pod).await["metadata"]["deletionGracePeriodSeconds"], 7);
}

async fn a_pod_that_never_ran_asks_no_budget(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let mut pending = pod("p");
    pending["metadata"]["labels"] = json!({"app": "db"});
    pending["spec"]["nodeSelector"] = json!({"contract.example/nowhere": "true"});
    peer.made(&pods, &pending).await;
    budget(peer, &namespace, "keep", json!({"minAvailable": 1, "selector": selector()}), 0).await;
    evict(peer, &format!("{pods}/p"), json!({})).await.unwrap();
    assert_eq!(peer.find(&format!("{pods}/p")).await, None);
}

async fn a_pod_that_has_ended_asks_no_budget(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pod = db(peer, &namespace).await;
    budget(peer, &namespace, "keep", json!({"minAvailable": 1, "selector": selector()}), 1).await;
    peer.merge(&format!("{pod}/status"), &json!({"status": {"phase": "Succeeded"}})).await.unwrap();
    evict(peer, &pod, json!({})).await.unwrap();
}

async fn an_unready_pod_goes_where_the_budget_says_so(peer: &Peer) {
    let namespace = peer.namespace().await;
    let unready = peer.bound_pod(&namespace, json!({"app": "db"})).await;
    let status =
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}});
    peer.merge(&format!("{unready}/status"), &status).await.unwrap();
    let always =
        json!({"minAvailable": 1, "selector": selector(), "unhealthyPodEvictionPolicy": "AlwaysAllow"});
    budget(peer, &namespace, "keep", always, 0).await;
    evict(peer, &unready, json!({})).await.unwrap();
}

async fn an_evicted_pod_is_marked(peer: &Peer) {
    let pod = db(peer, &peer.namespace().await).await;
    evict(peer, &pod, json!({})).await.unwrap();
    let after = peer.get(&pod).await;
    let conditions = after["status"]["conditions"].as_array().unwrap();
    let mark =
        conditions.iter().find(|c| c["type"] == "DisruptionTarget").expect("a DisruptionTarget condition");
    assert_eq!((text(mark, "/status"), text(mark, "/reason")), ("True", "EvictionByEvictionAPI"));
}

async fn an_ending_pod_may_be_evicted_again(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pod = db(peer, &namespace).await;
    evict(peer, &pod, json!({})).await.unwrap();
    evict(peer, &pod, json!({})).await.unwrap();
}

async fn a_budget_counts_what_its_owner_wants(peer: &Peer) {
    let namespace = peer.namespace().await;
    managed(peer, &namespace, 4).await;
    let path =
        budget(peer, &namespace, "half", json!({"minAvailable": "50%", "selector": selector()}), 4).await;
    let status = peer.get(&path).await["status"].clone();
    assert_eq!((status["expectedPods"].as_u64(), status["desiredHealthy"].as_u64()), (Some(4), Some(2)));
    assert_eq!(status["disruptionsAllowed"], 2);
}
