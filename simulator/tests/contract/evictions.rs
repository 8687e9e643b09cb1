//! Evictions and the budgets they ask.

use super::{api, create, namespace, pod, refusal};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, EvictParams, Patch, PatchParams};
use serde_json::{Value, json};

async fn running(client: &Client, namespace: &str, name: &str, ready: bool) {
    let pods = api(client, "v1", "Pod", "pods", namespace);
    let mut object = pod(name);
    object["metadata"]["labels"] = json!({"app": "web"});
    object["spec"]["nodeName"] = json!("no-such-node");
    create(&pods, object).await.unwrap();
    let ready = if ready { "True" } else { "False" };
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

async fn budget(client: &Client, namespace: &str, name: &str, spec: Value, status: Value) {
    let budgets = api(client, "policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", namespace);
    let mut spec = spec;
    spec["selector"] = json!({"matchLabels": {"app": "web"}});
    create(&budgets, json!({"metadata": {"name": name}, "spec": spec})).await.unwrap();
    let mut status = status;
    status["observedGeneration"] = json!(1);
    budgets
        .patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status})))
        .await
        .unwrap();
}

/// Given a budget with one disruption left, when two pods are evicted, then the second is refused
/// with the reason a drain shows.
pub(crate) async fn budgets_are_spent(client: Client) {
    namespace(&client, "budgets").await;
    running(&client, "budgets", "a", true).await;
    running(&client, "budgets", "b", true).await;
    let status =
        json!({"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2});
    budget(&client, "budgets", "web", json!({"minAvailable": 1}), status).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "budgets");
    pods.evict("a", &EvictParams::default()).await.unwrap();
    let ending = pods.get("a").await.unwrap();
    assert!(ending.metadata.deletion_timestamp.is_some());
    let conditions = ending.status.unwrap().conditions.unwrap();
    assert!(conditions.iter().any(|c| c.type_ == "DisruptionTarget" && c.status == "True"));
    let budgets = api(&client, "policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "budgets");
    let spent = budgets.get("web").await.unwrap();
    assert_eq!(spent.data["status"]["disruptionsAllowed"], 0);
    assert!(spent.data["status"]["disruptedPods"]["a"].is_string());
    let refused = refusal(pods.evict("b", &EvictParams::default()).await);
    assert_eq!((refused.code, refused.reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(refused.message, "Cannot evict pod as it would violate the pod's disruption budget.");
    let causes = refused.details.unwrap().causes;
    assert_eq!(causes[0].reason, "DisruptionBudget");
    assert_eq!(causes[0].message, "The disruption budget web needs 2 healthy pods and has 2 currently");
}

/// Given two budgets for one pod, when it is evicted, then the server gives up.
pub(crate) async fn two_budgets_are_one_too_many(client: Client) {
    namespace(&client, "twice").await;
    running(&client, "twice", "a", true).await;
    for name in ["one", "two"] {
        budget(
            &client,
            "twice",
            name,
            json!({"maxUnavailable": 1}),
            json!({"disruptionsAllowed": 1, "currentHealthy": 1, "desiredHealthy": 0, "expectedPods": 1}),
        )
        .await;
    }
    let pods: Api<Pod> = Api::namespaced(client, "twice");
    let refused = refusal(pods.evict("a", &EvictParams::default()).await);
    assert_eq!(refused.code, 500);
    assert!(refused.message.starts_with("This pod has more than one PodDisruptionBudget"));
}

/// Given a pod that isn't ready and an exhausted budget, when it is evicted, then the budget's
/// policy for unhealthy pods decides.
pub(crate) async fn unhealthy_pods_follow_the_policy(client: Client) {
    for (place, policy, goes) in [("strict", "IfHealthyBudget", false), ("always", "AlwaysAllow", true)] {
        namespace(&client, place).await;
        running(&client, place, "sick", false).await;
        let spec = json!({"minAvailable": 1, "unhealthyPodEvictionPolicy": policy});
        let status =
            json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 1, "expectedPods": 1});
        budget(&client, place, "web", spec, status).await;
        let pods: Api<Pod> = Api::namespaced(client.clone(), place);
        let result = pods.evict("sick", &EvictParams::default()).await;
        assert_eq!(result.is_ok(), goes, "{policy}: {result:?}");
    }
}
