//! Watches.

use super::cases;
use crate::peer::{Peer, text};
use serde_json::{Value, json};

cases![
    a_watch_tells_what_comes_after_its_version,
    a_watch_without_a_version_begins_with_what_is_there,
    a_watch_by_label_tells_who_enters_and_leaves,
    a_watch_by_name_hears_of_one_object,
    a_deleted_object_has_a_newer_version,
    a_watch_ends_in_its_time,
    a_watch_with_bookmarks_ends_as_well,
    a_version_that_is_too_old_is_gone,
    a_page_that_is_too_old_is_gone,
    a_version_that_is_no_number_is_refused,
    a_graceful_end_is_told_in_two_steps,
];

fn told(events: &[Value]) -> Vec<(&str, &str)> {
    events.iter().map(|e| (text(e, "/type"), text(e, "/object/metadata/name"))).collect()
}

async fn collection(peer: &Peer) -> (String, String) {
    let namespace = peer.namespace().await;
    let collection = format!("/api/v1/namespaces/{namespace}/secrets");
    let version = text(&peer.get(&collection).await, "/metadata/resourceVersion").to_owned();
    (collection, version)
}

async fn a_watch_tells_what_comes_after_its_version(peer: &Peer) {
    let (collection, version) = collection(peer).await;
    peer.made(&collection, &json!({"metadata": {"name": "a"}})).await;
    peer.merge(&format!("{collection}/a"), &json!({"metadata": {"labels": {"x": "y"}}})).await.unwrap();
    peer.delete(&format!("{collection}/a"), &json!({})).await.unwrap();
    let events = peer.events(&collection, &format!("resourceVersion={version}&timeoutSeconds=20"), 3).await;
    assert_eq!(told(&events), [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]);
}

async fn a_watch_without_a_version_begins_with_what_is_there(peer: &Peer) {
    let (collection, _) = collection(peer).await;
    peer.made(&collection, &json!({"metadata": {"name": "a"}})).await;
    let events = peer.events(&collection, "timeoutSeconds=20", 1).await;
    assert_eq!(told(&events), [("ADDED", "a")]);
}

async fn a_watch_by_label_tells_who_enters_and_leaves(peer: &Peer) {
    let (collection, version) = collection(peer).await;
    peer.made(&collection, &json!({"metadata": {"name": "a"}})).await;
    let label = async |value: Value| {
        peer.merge(&format!("{collection}/a"), &json!({"metadata": {"labels": {"in": value}}}))
            .await
            .unwrap();
    };
    label(json!("yes")).await;
    label(Value::Null).await;
    let query = format!("resourceVersion={version}&labelSelector=in%3Dyes&timeoutSeconds=20");
    let events = peer.events(&collection, &query, 2).await;
    assert_eq!(told(&events), [("ADDED", "a"), ("DELETED", "a")]);
}

async fn a_watch_by_name_hears_of_one_object(peer: &Peer) {
    let (collection, version) = collection(peer).await;
    for name in ["a", "b"] {
        peer.made(&collection, &json!({"metadata": {"name": name}})).await;
    }
    let query = format!("resourceVersion={version}&fieldSelector=metadata.name%3Db&timeoutSeconds=20");
    assert_eq!(told(&peer.events(&collection, &query, 1).await), [("ADDED", "b")]);
}

async fn a_deleted_object_has_a_newer_version(peer: &Peer) {
    let (collection, _) = collection(peer).await;
    let made = peer.made(&collection, &json!({"metadata": {"name": "a"}})).await;
    let version = text(&made, "/metadata/resourceVersion").to_owned();
    peer.delete(&format!("{collection}/a"), &json!({})).await.unwrap();
    let events = peer.events(&collection, &format!("resourceVersion={version}&timeoutSeconds=20"), 1).await;
    assert_eq!(told(&events), [("DELETED", "a")]);
    let after: u64 = text(&events[0], "/object/metadata/resourceVersion").parse().unwrap();
    assert!(after > version.parse().unwrap());
}

async fn a_watch_ends_in_its_time(peer: &Peer) {
    let (collection, version) = collection(peer).await;
    let events = peer.events(&collection, &format!("resourceVersion={version}&timeoutSeconds=2"), 1).await;
    assert_eq!(told(&events), []);
}

async fn a_watch_with_bookmarks_ends_as_well(peer: &Peer) {
    let (collection, version) = collection(peer).await;
    let query = format!("resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds=3");
    for event in peer.events(&collection, &query, usize::MAX).await {
        assert_eq!((text(&event, "/type"), text(&event, "/object/kind")), ("BOOKMARK", "Secret"));
    }
}

async fn a_version_that_is_too_old_is_gone(peer: &Peer) {
    let namespace = peer.namespace().await;
    let collection = format!("/api/v1/namespaces/{namespace}/endpoints");
    let made = peer.made(&collection, &json!({"metadata": {"name": "e"}})).await;
    let version = text(&made, "/metadata/resourceVersion");
    peer.merge(&format!("{collection}/e"), &json!({"metadata": {"labels": {"x": "y"}}})).await.unwrap();
    peer.merge(&format!("{collection}/e"), &json!({"metadata": {"labels": {"x": "z"}}})).await.unwrap();
    peer.forget_history().await;
    // More time than the case has: the watch ends because it can't go on.
    let query = format!("resourceVersion={version}&timeoutSeconds=300");
    let events = peer.events(&collection, &query, usize::MAX).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(matches!(text(&events[0], "/type"), "ERROR" | "REFUSED"), "{events:?}");
    assert_eq!(
        (events[0]["object"]["code"].as_u64(), text(&events[0], "/object/reason")),
        (Some(410), "Expired")
    );
}

async fn a_page_that_is_too_old_is_gone(peer: &Peer) {
    let namespace = peer.namespace().await;
    let collection = format!("/api/v1/namespaces/{namespace}/endpoints");
    for name in ["a", "b", "c"] {
        peer.made(&collection, &json!({"metadata": {"name": name}})).await;
    }
    let first = peer.get(&format!("{collection}?limit=1")).await;
    peer.merge(&format!("{collection}/a"), &json!({"metadata": {"labels": {"x": "y"}}})).await.unwrap();
    peer.forget_history().await;
    let token = text(&first, "/metadata/continue");
    let error = crate::peer::refused(peer.api.get(&format!("{collection}?limit=1&continue={token}")).await);
    assert_eq!((error.code, error.reason.as_str()), (410, "Expired"));
}

async fn a_version_that_is_no_number_is_refused(peer: &Peer) {
    let (collection, _) = collection(peer).await;
    let events = peer.events(&collection, "resourceVersion=yesterday&timeoutSeconds=5", 1).await;
    assert_eq!((text(&events[0], "/type"), events[0]["object"]["code"].as_u64()), ("REFUSED", Some(500)));
}

async fn a_graceful_end_is_told_in_two_steps(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pod = peer.bound_pod(&namespace, json!({})).await;
    peer.ready(&pod).await;
    let version = text(&peer.get(&pod).await, "/metadata/resourceVersion").to_owned();
    peer.delete(&pod, &json!({})).await.unwrap();
    peer.delete(&pod, &json!({"gracePeriodSeconds": 0})).await.unwrap();
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let events = peer.events(&pods, &format!("resourceVersion={version}&timeoutSeconds=20"), 3).await;
    let kinds: Vec<&str> = events.iter().map(|e| text(e, "/type")).collect();
    assert_eq!(kinds, ["MODIFIED", "MODIFIED", "DELETED"], "the grace, no grace, gone");
    assert_eq!(events[0]["object"]["metadata"]["deletionGracePeriodSeconds"], 30);
}
