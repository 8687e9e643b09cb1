//! The end of namespaces, with all that is in them.

use super::cases;
use crate::peer::{Peer, map, refused, text};
use serde_json::{Value, json};

cases![
    a_namespace_takes_its_objects_along,
    a_namespace_is_held_by_a_finalizer_inside,
    an_ending_namespace_takes_nothing_new,
    a_dead_apiservice_holds_every_namespace,
    a_namespace_has_an_account,
    a_namespace_goes_on_past_what_is_refused,
];

async fn a_namespace_takes_its_objects_along(peer: &Peer) {
    let namespace = peer.namespace().await;
    let path = format!("/api/v1/namespaces/{namespace}");
    peer.made(&format!("{path}/configmaps"), &map("m", json!({}))).await;
    peer.delete(&path, &json!({})).await.unwrap();
    peer.gone(&path).await;
    assert_eq!(peer.find(&format!("{path}/configmaps/m")).await, None);
}

async fn hold(peer: &Peer) -> (String, String) {
    let path = format!("/api/v1/namespaces/{}", peer.namespace().await);
    let held = json!({"metadata": {"name": "m", "finalizers": ["x.example/hold"]}});
    peer.made(&format!("{path}/configmaps"), &held).await;
    peer.delete(&path, &json!({})).await.unwrap();
    let map = format!("{path}/configmaps/m");
    (path, map)
}

fn condition(namespace: &Value, kind: &str, status: &str) -> bool {
    let conditions = namespace["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == kind && c["status"] == status)
}

async fn a_namespace_is_held_by_a_finalizer_inside(peer: &Peer) {
    let (path, map) = hold(peer).await;
    let says = |n: &Value| {
        text(n, "/status/phase") == "Terminating" && condition(n, "NamespaceFinalizersRemaining", "True")
    };
    peer.becomes(&path, "the namespace to say what holds it", says).await;
    peer.merge(&map, &json!({"metadata": {"finalizers": null}})).await.unwrap();
    peer.gone(&path).await;
}

async fn an_ending_namespace_takes_nothing_new(peer: &Peer) {
    let (path, map_path) = hold(peer).await;
    let error = refused(peer.create(&format!("{path}/configmaps"), &map("late", json!({}))).await);
    assert_eq!((error.code, error.reason.as_str()), (403, "Forbidden"));
    assert!(error.causes.iter().any(|(reason, _)| reason == "NamespaceTerminating"), "{error:?}");
    peer.merge(&map_path, &json!({"metadata": {"finalizers": null}})).await.unwrap();
}

async fn a_dead_apiservice_holds_every_namespace(peer: &Peer) {
    let path = format!("/api/v1/namespaces/{}", peer.namespace().await);
    let group = format!("{}.example", peer.name("dead"));
    let service = json!({
        "metadata": {"name": format!("v1.{group}")},
        "spec": {
            "group": group, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"namespace": "nowhere", "name": "nobody"},
        },
    });
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    peer.made(services, &service).await;
    let at = format!("{services}/v1.{group}");
    peer.becomes(&at, "the APIService to be known as dead", |s| condition(s, "Available", "False")).await;
    peer.delete(&path, &json!({})).await.unwrap();
    let stuck = |n: &Value| condition(n, "NamespaceDeletionDiscoveryFailure", "True");
    peer.becomes(&path, "the namespace to be stuck", stuck).await;
    peer.delete(&at, &json!({})).await.unwrap();
    peer.gone(&path).await;
}

async fn a_namespace_has_an_account(peer: &Peer) {
    let namespace = peer.namespace().await;
    let authority = format!("/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt");
    peer.becomes(&authority, "the cluster's CA", |m| !text(m, "/data/ca.crt").is_empty()).await;
}

async fn a_namespace_goes_on_past_what_is_refused(peer: &Peer) {
    let namespace = peer.namespace().await;
    let path = format!("/api/v1/namespaces/{namespace}");
    peer.made(&format!("{path}/configmaps"), &map("m", json!({}))).await;
    peer.made(&format!("{path}/secrets"), &json!({"metadata": {"name": "s"}})).await;
    let rule = json!({
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["configmaps"],
    });
    let hook = peer.deaf_webhook(&namespace, rule).await;
    peer.delete(&path, &json!({})).await.unwrap();
    let says = |n: &Value| condition(n, "NamespaceDeletionContentFailure", "True");
    peer.becomes(&path, "the namespace to say what it could not delete", says).await;
    peer.gone(&format!("{path}/secrets/s")).await;
    peer.get(&format!("{path}/configmaps/m")).await;
    peer.delete(&hook, &json!({})).await.unwrap();
    peer.gone(&path).await;
}
