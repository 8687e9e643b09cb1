//! Admission: which writes a webhook is asked about.

use super::cases;
use crate::peer::{Answer, Peer, refused};
use serde_json::{Value, json};

cases![
    a_rule_names_objects_and_their_parts,
    an_eviction_is_a_part_of_its_own,
    an_eviction_asks_nobody_about_its_pod,
    a_scale_is_a_part_of_its_own,
];

fn rule(group: &str, operation: &str, named: &str) -> Value {
    json!({"apiGroups": [group], "apiVersions": ["*"], "operations": [operation], "resources": [named]})
}

/// Whether a webhook that nobody answers was asked.
fn asked(answer: Answer) -> bool {
    let Err(error) = answer else { return false };
    assert!(error.message.contains("failed calling webhook"), "{error:?}");
    assert_eq!(error.code, 500);
    true
}

async fn a_rule_names_objects_and_their_parts(peer: &Peer) {
    for (named, object, part) in [
        ("pods", true, false),
        ("pods/status", false, true),
        ("pods/*", true, true),
        ("*", true, false),
        ("*/status", false, true),
        ("*/*", true, true),
    ] {
        let namespace = peer.namespace().await;
        let pod = peer.bound_pod(&namespace, json!({})).await;
        let hook = peer.deaf_webhook(&namespace, rule("", "UPDATE", named)).await;
        let labels = peer.merge(&pod, &json!({"metadata": {"labels": {"x": "y"}}})).await;
        let status = peer.merge(&format!("{pod}/status"), &json!({"status": {"phase": "Running"}})).await;
        assert_eq!((asked(labels), asked(status)), (object, part), "{named}");
        peer.delete(&hook, &json!({})).await.unwrap();
    }
}

async fn evict(peer: &Peer, pod: &str) -> Answer {
    let name = pod.rsplit('/').next().unwrap_or_default();
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    peer.create(&format!("{pod}/eviction"), &body).await
}

async fn an_eviction_is_a_part_of_its_own(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pod = peer.bound_pod(&namespace, json!({})).await;
    let hook = peer.deaf_webhook(&namespace, rule("", "CREATE", "pods/eviction")).await;
    let error = refused(evict(peer, &pod).await);
    assert_eq!((error.code, error.reason.as_str()), (500, "InternalError"));
    assert!(error.message.contains("failed calling webhook"), "{}", error.message);
    peer.delete(&pod, &json!({})).await.unwrap();
    peer.delete(&hook, &json!({})).await.unwrap();
}

async fn an_eviction_asks_nobody_about_its_pod(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pod = peer.bound_pod(&namespace, json!({})).await;
    let hook = peer.deaf_webhook(&namespace, rule("", "DELETE", "pods")).await;
    assert!(asked(peer.delete(&pod, &json!({})).await));
    evict(peer, &pod).await.unwrap();
    peer.delete(&hook, &json!({})).await.unwrap();
}

async fn a_scale_is_a_part_of_its_own(peer: &Peer) {
    for (named, object, part) in [("deployments", true, false), ("*/scale", false, true)] {
        let namespace = peer.namespace().await;
        let deployments = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        let template = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
        });
        let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": template});
        peer.made(&deployments, &json!({"metadata": {"name": "web"}, "spec": spec})).await;
        let hook = peer.deaf_webhook(&namespace, rule("apps", "UPDATE", named)).await;
        let path = format!("{deployments}/web");
        let labels = peer.merge(&path, &json!({"metadata": {"labels": {"x": "y"}}})).await;
        let scale = peer.merge(&format!("{path}/scale"), &json!({"spec": {"replicas": 0}})).await;
        assert_eq!((asked(labels), asked(scale)), (object, part), "{named}");
        peer.delete(&hook, &json!({})).await.unwrap();
    }
}
