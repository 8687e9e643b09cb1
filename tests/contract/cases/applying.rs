//! Server-side apply.

use super::cases;
use crate::peer::{Peer, pod, refused, text};
use serde_json::{Value, json};

cases![
    an_apply_creates,
    an_apply_again_changes_nothing,
    a_field_of_someone_else_is_a_conflict,
    the_same_value_is_shared,
    force_takes_the_field,
    what_is_left_out_is_removed,
    what_others_own_stays,
    containers_are_known_by_name,
    ports_are_known_by_port_and_protocol,
    an_apply_needs_a_manager,
    an_apply_brings_no_managed_fields,
    an_apply_of_a_stale_version_is_a_conflict,
    an_update_owns_what_it_changes,
    finalizers_are_a_set,
    a_dry_apply_leaves_nothing,
];

async fn path(peer: &Peer) -> String {
    format!("/api/v1/namespaces/{}/configmaps/m", peer.namespace().await)
}

fn applied(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

async fn an_apply_creates(peer: &Peer) {
    let made = peer.apply(&path(peer).await, "one", &applied(json!({"a": "1"}))).await.unwrap();
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!((text(entry, "/manager"), text(entry, "/operation")), ("one", "Apply"));
    assert_eq!(entry["fieldsV1"]["f:data"]["f:a"], json!({}));
}

async fn an_apply_again_changes_nothing(peer: &Peer) {
    let path = path(peer).await;
    let first = peer.apply(&path, "one", &applied(json!({"a": "1"}))).await.unwrap();
    let second = peer.apply(&path, "one", &applied(json!({"a": "1"}))).await.unwrap();
    assert_eq!(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
}

async fn a_field_of_someone_else_is_a_conflict(peer: &Peer) {
    let path = path(peer).await;
    peer.apply(&path, "one", &applied(json!({"a": "1"}))).await.unwrap();
    let error = refused(peer.apply(&path, "two", &applied(json!({"a": "2"}))).await);
    assert_eq!((error.code, error.reason.as_str()), (409, "Conflict"));
    assert_eq!(error.causes[0].0, "FieldManagerConflict");
    assert!(error.causes[0].1.contains("conflict with \"one\""), "{error:?}");
    assert!(!error.is_lost_race());
}

async fn the_same_value_is_shared(peer: &Peer) {
    let path = path(peer).await;
    peer.apply(&path, "one", &applied(json!({"a": "1"}))).await.unwrap();
    peer.apply(&path, "two", &applied(json!({"a": "1"}))).await.unwrap();
    // One lets go; the other still holds it.
    let after = peer.apply(&path, "one", &applied(json!({"b": "2"}))).await.unwrap();
    assert_eq!(after["data"], json!({"a": "1", "b": "2"}));
}

async fn force_takes_the_field(peer: &Peer) {
    let path = path(peer).await;
    peer.apply(&path, "one", &applied(json!({"a": "1"}))).await.unwrap();
    let after = peer.apply(&path, "two&force=true", &applied(json!({"a": "2"}))).await.unwrap();
    assert_eq!(after["data"]["a"], "2");
    let error = refused(peer.apply(&path, "one", &applied(json!({"a": "1"}))).await);
    assert!(error.causes[0].1.contains("conflict with \"two\""), "{error:?}");
}

async fn what_is_left_out_is_removed(peer: &Peer) {
    let path = path(peer).await;
    peer.apply(&path, "one", &applied(json!({"a": "1", "b": "2"}))).await.unwrap();
    let after = peer.apply(&path, "one", &applied(json!({"b": "2"}))).await.unwrap();
    assert_eq!(after["data"], json!({"b": "2"}));
}

async fn what_others_own_stays(peer: &Peer) {
    let path = path(peer).await;
    peer.apply(&path, "one", &applied(json!({"a": "1"}))).await.unwrap();
    peer.merge(&path, &json!({"data": {"c": "3"}})).await.unwrap();
    let after = peer.apply(&path, "one", &applied(json!({"b": "2"}))).await.unwrap();
    assert_eq!(after["data"], json!({"b": "2", "c": "3"}));
}

fn applied_pod(containers: Value) -> Value {
    let mut pod = pod("p");
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["spec"] = json!({"containers": containers, "nodeSelector": {"contract.example/nowhere": "true"}});
    pod
}

async fn containers_are_known_by_name(peer: &Peer) {
    let sets = format!("/apis/apps/v1/namespaces/{}/daemonsets/d", peer.namespace().await);
    let set = |containers: Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d"},
            "spec": {
                "selector": {"matchLabels": {"app": "d"}},
                "template": {
                    "metadata": {"labels": {"app": "d"}},
                    "spec": {"nodeSelector": {"contract.example/nowhere": "true"}, "containers": containers},
                },
            },
        })
    };
    let container = |name: &str| json!({"name": name, "image": "registry.example/app:1"});
    peer.apply(&sets, "one", &set(json!([container("a")]))).await.unwrap();
    peer.apply(&sets, "two", &set(json!([container("b")]))).await.unwrap();
    let after = peer.get(&sets).await;
    let names: Vec<&str> = after["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| text(c, "/name"))
        .collect();
    assert_eq!(names, ["a", "b"]);
}

async fn ports_are_known_by_port_and_protocol(peer: &Peer) {
    let path = format!("/api/v1/namespaces/{}/pods/p", peer.namespace().await);
    let ports = json!([{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]);
    let container = json!([{"name": "app", "image": "registry.example/app:1", "ports": ports}]);
    let made = peer.apply(&path, "one", &applied_pod(container)).await.unwrap();
    let fields = &made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:containers"];
    let ports = &fields["k:{\"name\":\"app\"}"]["f:ports"];
    let keys: Vec<&String> = ports.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["k:{\"containerPort\":53,\"protocol\":\"TCP\"}", "k:{\"containerPort\":53,\"protocol\":\"UDP\"}"]
    );
}

async fn an_apply_needs_a_manager(peer: &Peer) {
    let path = path(peer).await;
    let body = applied(json!({"a": "1"}));
    let error = refused(peer.send(http::Method::PATCH, &path, "application/apply-patch+yaml", &body).await);
    assert_eq!(error.code, 422);
    assert!(error.message.contains("fieldManager"), "{}", error.message);
}

async fn an_apply_brings_no_managed_fields(peer: &Peer) {
    let path = path(peer).await;
    let made = peer.apply(&path, "one", &applied(json!({"a": "1"}))).await.unwrap();
    let mut with = applied(json!({"a": "1"}));
    with["metadata"]["managedFields"] = made["metadata"]["managedFields"].clone();
    let error = refused(peer.apply(&path, "one", &with).await);
    assert_eq!((error.code, error.reason.as_str()), (400, "BadRequest"));
}

async fn an_apply_of_a_stale_version_is_a_conflict(peer: &Peer) {
    let path = path(peer).await;
    let made = peer.apply(&path, "one", &applied(json!({"a": "1"}))).await.unwrap();
    peer.merge(&path, &json!({"data": {"z": "9"}})).await.unwrap();
    let mut stale = applied(json!({"a": "2"}));
    stale["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    let error = refused(peer.apply(&path, "one", &stale).await);
    assert_eq!((error.code, error.reason.as_str()), (409, "Conflict"));
    assert!(error.is_lost_race(), "{error:?}");
}

async fn an_update_owns_what_it_changes(peer: &Peer) {
    let path = path(peer).await;
    peer.apply(&path, "one", &applied(json!({"a": "1"}))).await.unwrap();
    peer.merge(&format!("{path}?fieldManager=editor"), &json!({"data": {"a": "2"}})).await.unwrap();
    let error = refused(peer.apply(&path, "one", &applied(json!({"a": "1"}))).await);
    assert!(error.causes[0].1.contains("conflict with \"editor\""), "{error:?}");
}

async fn finalizers_are_a_set(peer: &Peer) {
    let path = path(peer).await;
    let with = |finalizer: &str| {
        let mut map = applied(json!({"x": "y"}));
        map["metadata"]["finalizers"] = json!([finalizer]);
        map
    };
    peer.apply(&path, "one", &with("x.example/a")).await.unwrap();
    let after = peer.apply(&path, "two", &with("x.example/b")).await.unwrap();
    assert_eq!(after["metadata"]["finalizers"], json!(["x.example/a", "x.example/b"]));
    peer.merge(&path, &json!({"metadata": {"finalizers": null}})).await.unwrap();
}

async fn a_dry_apply_leaves_nothing(peer: &Peer) {
    let path = path(peer).await;
    let dry = peer.apply(&path, "one&dryRun=All", &applied(json!({"a": "1"}))).await.unwrap();
    assert_eq!(dry["data"]["a"], "1");
    assert_eq!(peer.find(&path).await, None);
}
