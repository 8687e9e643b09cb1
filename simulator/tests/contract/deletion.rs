//! How objects go: grace, finalizers, propagation.

use super::{api, create, namespace, pod};
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

/// Given a pod on a node, when it is deleted, then it waits for its kubelet; a pod nowhere is gone.
pub(crate) async fn pods_end_gracefully(client: Client) {
    namespace(&client, "grace").await;
    let pods = api(&client, "v1", "Pod", "pods", "grace");
    create(&pods, pod("nowhere")).await.unwrap();
    pods.delete("nowhere", &DeleteParams::default()).await.unwrap();
    assert!(pods.get_opt("nowhere").await.unwrap().is_none());

    let mut bound = pod("bound");
    bound["spec"]["nodeName"] = json!("no-such-node");
    bound["spec"]["terminationGracePeriodSeconds"] = json!(45);
    create(&pods, bound).await.unwrap();
    pods.delete("bound", &DeleteParams::default()).await.unwrap();
    let ending = pods.get("bound").await.unwrap();
    assert_eq!(ending.metadata.deletion_grace_period_seconds, Some(45));
    let stamp = ending.metadata.deletion_timestamp.clone().unwrap();
    pods.delete("bound", &DeleteParams::default()).await.unwrap();
    assert_eq!(pods.get("bound").await.unwrap().metadata.deletion_timestamp, Some(stamp));
    pods.delete("bound", &DeleteParams::default().grace_period(5)).await.unwrap();
    assert_eq!(pods.get("bound").await.unwrap().metadata.deletion_grace_period_seconds, Some(5));
    pods.delete("bound", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(pods.get_opt("bound").await.unwrap().is_none());
}

/// Given a finalizer, when the object is deleted, then it stays until the finalizer is taken, and
/// none can be added.
pub(crate) async fn finalizers_hold(client: Client) {
    namespace(&client, "finalizers").await;
    let maps = api(&client, "v1", "ConfigMap", "configmaps", "finalizers");
    create(&maps, json!({"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})).await.unwrap();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get("a").await.unwrap().metadata.deletion_timestamp.is_some());
    let more = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}));
    let refused = super::refusal(maps.patch("a", &PatchParams::default(), &more).await);
    assert_eq!(refused.code, 422);
    assert!(refused.message.contains("no new finalizers can be added"), "{}", refused.message);
    let none = Patch::Merge(json!({"metadata": {"finalizers": []}}));
    maps.patch("a", &PatchParams::default(), &none).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

/// Given a propagation policy, when an object is deleted, then a finalizer stands for it.
pub(crate) async fn propagation_is_a_finalizer(client: Client) {
    namespace(&client, "propagation").await;
    let maps = api(&client, "v1", "ConfigMap", "configmaps", "propagation");
    for (params, finalizer) in
        [(DeleteParams::foreground(), "foregroundDeletion"), (DeleteParams::orphan(), "orphan")]
    {
        create(&maps, json!({"metadata": {"name": finalizer.to_lowercase()}})).await.unwrap();
        let deleted = maps.delete(&finalizer.to_lowercase(), &params).await.unwrap();
        let object = deleted.left().expect("the object waits");
        assert_eq!(object.metadata.finalizers, Some(vec![finalizer.to_owned()]));
    }
}
