//! The three patches that are not server-side apply.

use super::cases;
use crate::peer::{Peer, map, pod, refused, text};
use serde_json::json;

cases![
    a_merge_patch_sets_and_removes,
    a_merge_patch_replaces_lists,
    a_merge_patch_can_name_the_incarnation,
    a_merge_patch_can_name_the_version,
    a_merge_patch_with_both_is_a_conflict_first,
    a_json_patch_adds_replaces_and_removes,
    a_json_patch_tests_first,
    a_json_patch_to_nowhere_is_refused,
    a_strategic_patch_merges_by_key,
    a_strategic_patch_can_delete,
    a_strategic_patch_of_a_taint_replaces_the_list,
    a_patch_of_nothing_is_not_found,
    a_patch_can_not_rename,
    an_unknown_kind_of_patch_is_refused,
];

async fn a_map(peer: &Peer) -> (String, serde_json::Value) {
    let maps = format!("/api/v1/namespaces/{}/configmaps", peer.namespace().await);
    let made = peer.made(&maps, &map("m", json!({"a": "1", "b": "2"}))).await;
    (format!("{maps}/m"), made)
}

async fn a_merge_patch_sets_and_removes(peer: &Peer) {
    let (path, _) = a_map(peer).await;
    let after = peer.merge(&path, &json!({"data": {"a": null, "c": "3"}})).await.unwrap();
    assert_eq!(after["data"], json!({"b": "2", "c": "3"}));
}

async fn a_merge_patch_replaces_lists(peer: &Peer) {
    let (path, _) = a_map(peer).await;
    peer.merge(&path, &json!({"metadata": {"finalizers": ["x.example/a", "x.example/b"]}})).await.unwrap();
    let after = peer.merge(&path, &json!({"metadata": {"finalizers": ["x.example/c"]}})).await.unwrap();
    assert_eq!(after["metadata"]["finalizers"], json!(["x.example/c"]));
    peer.merge(&path, &json!({"metadata": {"finalizers": null}})).await.unwrap();
}

async fn a_merge_patch_can_name_the_incarnation(peer: &Peer) {
    let (path, made) = a_map(peer).await;
    let patch = |uid: &str| json!({"metadata": {"uid": uid}, "data": {"a": "9"}});
    let error = refused(peer.merge(&path, &patch("11111111-2222-3333-4444-555555555555")).await);
    assert_eq!((error.code, error.reason.as_str()), (422, "Invalid"));
    assert!(error.message.contains("metadata.uid"), "{error:?}");
    peer.merge(&path, &patch(text(&made, "/metadata/uid"))).await.unwrap();
}

async fn a_merge_patch_can_name_the_version(peer: &Peer) {
    let (path, made) = a_map(peer).await;
    let version = text(&made, "/metadata/resourceVersion");
    let patch = json!({"metadata": {"resourceVersion": version}, "data": {"a": "9"}});
    peer.merge(&path, &patch).await.unwrap();
    let again = json!({"metadata": {"resourceVersion": version}, "data": {"a": "8"}});
    let error = refused(peer.merge(&path, &again).await);
    assert!(error.is_lost_race(), "{error:?}");
}

async fn a_merge_patch_with_both_is_a_conflict_first(peer: &Peer) {
    let (path, made) = a_map(peer).await;
    let identity = |field: &str| made["metadata"][field].clone();
    peer.delete(&path, &json!({})).await.unwrap();
    peer.made(path.strip_suffix("/m").unwrap(), &map("m", json!({}))).await;
    let patch = json!({
        "metadata": {"uid": identity("uid"), "resourceVersion": identity("resourceVersion")}, "data": {"a": "9"},
    });
    let error = refused(peer.merge(&path, &patch).await);
    assert_eq!((error.code, error.reason.as_str()), (409, "Conflict"));
}

async fn a_json_patch_adds_replaces_and_removes(peer: &Peer) {
    let (path, _) = a_map(peer).await;
    let patch = json!([
        {"op": "add", "path": "/data/c", "value": "3"},
        {"op": "replace", "path": "/data/a", "value": "9"},
        {"op": "remove", "path": "/data/b"},
    ]);
    assert_eq!(peer.json_patch(&path, &patch).await.unwrap()["data"], json!({"a": "9", "c": "3"}));
}

async fn a_json_patch_tests_first(peer: &Peer) {
    let (path, _) = a_map(peer).await;
    let patch = json!([
        {"op": "test", "path": "/data/a", "value": "7"},
        {"op": "replace", "path": "/data/a", "value": "9"},
    ]);
    let error = refused(peer.json_patch(&path, &patch).await);
    assert_eq!((error.code, error.reason.as_str()), (422, "Invalid"));
    assert_eq!(peer.get(&path).await["data"]["a"], "1");
}

async fn a_json_patch_to_nowhere_is_refused(peer: &Peer) {
    let (path, _) = a_map(peer).await;
    let error = refused(peer.json_patch(&path, &json!([{"op": "remove", "path": "/data/z"}])).await);
    assert_eq!(error.code, 422);
}

async fn a_strategic_patch_merges_by_key(peer: &Peer) {
    let pods = format!("/api/v1/namespaces/{}/pods", peer.namespace().await);
    peer.made(&pods, &pod("p")).await;
    let patch = json!({"spec": {"containers": [{"name": "app", "image": "registry.example/app:2"}]}});
    let after = peer.strategic(&format!("{pods}/p"), &patch).await.unwrap();
    assert_eq!(after["spec"]["containers"].as_array().unwrap().len(), 1);
    assert_eq!(text(&after, "/spec/containers/0/image"), "registry.example/app:2");
    assert_eq!(text(&after, "/spec/containers/0/imagePullPolicy"), "IfNotPresent");
}

async fn a_strategic_patch_can_delete(peer: &Peer) {
    let sets = format!("/apis/apps/v1/namespaces/{}/daemonsets", peer.namespace().await);
    let container = |name: &str| json!({"name": name, "image": "registry.example/app:1"});
    let set = json!({
        "metadata": {"name": "d"},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {
                    "nodeSelector": {"contract.example/nowhere": "true"},
                    "containers": [container("a"), container("b")],
                },
            },
        },
    });
    peer.made(&sets, &set).await;
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}}});
    let after = peer.strategic(&format!("{sets}/d"), &patch).await.unwrap();
    let containers = after["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!((containers.len(), text(&containers[0], "/name")), (1, "b"));
}

async fn a_strategic_patch_of_a_taint_replaces_the_list(peer: &Peer) {
    let (path, _) = peer.node(json!({})).await;
    let taint = |key: &str| json!({"key": key, "effect": "PreferNoSchedule"});
    peer.merge(&path, &json!({"spec": {"taints": [taint("x.example/a"), taint("x.example/b")]}}))
        .await
        .unwrap();
    let after = peer.strategic(&path, &json!({"spec": {"taints": [taint("x.example/c")]}})).await.unwrap();
    let keys: Vec<&str> =
        after["spec"]["taints"].as_array().unwrap().iter().map(|t| text(t, "/key")).collect();
    assert_eq!(keys, ["x.example/c"]);
}

async fn a_patch_of_nothing_is_not_found(peer: &Peer) {
    let path = format!("/api/v1/namespaces/{}/configmaps/nobody", peer.namespace().await);
    assert_eq!(refused(peer.merge(&path, &json!({"data": {"a": "1"}})).await).code, 404);
    assert_eq!(refused(peer.strategic(&path, &json!({"data": {"a": "1"}})).await).code, 404);
    assert_eq!(refused(peer.json_patch(&path, &json!([{"op": "remove", "path": "/data"}])).await).code, 404);
}

async fn a_patch_can_not_rename(peer: &Peer) {
    let (path, _) = a_map(peer).await;
    let error = refused(peer.merge(&path, &json!({"metadata": {"name": "other"}})).await);
    assert_eq!((error.code, error.reason.as_str()), (400, "BadRequest"));
}

async fn an_unknown_kind_of_patch_is_refused(peer: &Peer) {
    let (path, _) = a_map(peer).await;
    let answer = peer.send(http::Method::PATCH, &path, "application/json", &json!({"data": {}})).await;
    assert_eq!((refused(answer).code), 415);
}
