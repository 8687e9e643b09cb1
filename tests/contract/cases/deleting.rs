//! Delete: preconditions, finalizers, grace, dependents.

use super::cases;
use crate::peer::{Peer, map, pod, refused, text};
use serde_json::{Value, json};

cases![
    a_delete_is_for_one_incarnation,
    a_delete_can_name_the_version,
    a_delete_of_nothing_is_not_found,
    the_body_of_a_delete_beats_its_query,
    a_finalizer_holds_its_object,
    no_finalizer_comes_late,
    a_pod_on_a_node_ends_in_its_grace,
    a_shorter_grace_shortens,
    a_negative_grace_is_a_second,
    a_pod_on_no_node_ends_at_once,
    dependents_go_in_the_background,
    dependents_go_first_in_the_foreground,
    orphans_stay,
    a_collection_goes_by_label,
    a_dependent_of_nobody_goes,
];

async fn maps(peer: &Peer) -> String {
    format!("/api/v1/namespaces/{}/configmaps", peer.namespace().await)
}

async fn a_delete_is_for_one_incarnation(peer: &Peer) {
    let maps = maps(peer).await;
    let made = peer.made(&maps, &map("m", json!({}))).await;
    let path = format!("{maps}/m");
    let other = json!({"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}});
    let error = refused(peer.delete(&path, &other).await);
    assert_eq!((error.code, error.reason.as_str()), (409, "Conflict"));
    assert!(!error.is_lost_race(), "{error:?}");
    peer.delete(&path, &json!({"preconditions": {"uid": made["metadata"]["uid"]}})).await.unwrap();
    assert_eq!(peer.find(&path).await, None);
}

async fn a_delete_can_name_the_version(peer: &Peer) {
    let maps = maps(peer).await;
    let made = peer.made(&maps, &map("m", json!({}))).await;
    let path = format!("{maps}/m");
    peer.merge(&path, &json!({"data": {"a": "1"}})).await.unwrap();
    let options = json!({"preconditions": {"resourceVersion": made["metadata"]["resourceVersion"]}});
    assert_eq!(refused(peer.delete(&path, &options).await).code, 409);
    assert!(peer.find(&path).await.is_some());
}

async fn a_delete_of_nothing_is_not_found(peer: &Peer) {
    assert_eq!(refused(peer.delete(&format!("{}/m", maps(peer).await), &json!({})).await).code, 404);
}

async fn the_body_of_a_delete_beats_its_query(peer: &Peer) {
    let maps = maps(peer).await;
    peer.made(&maps, &map("m", json!({}))).await;
    // A dry run that is asked for in the query alone is none.
    peer.delete(&format!("{maps}/m?dryRun=All"), &json!({})).await.unwrap();
    assert_eq!(peer.find(&format!("{maps}/m")).await, None);
}

async fn a_finalizer_holds_its_object(peer: &Peer) {
    let maps = maps(peer).await;
    peer.made(&maps, &json!({"metadata": {"name": "m", "finalizers": ["x.example/hold"]}})).await;
    let path = format!("{maps}/m");
    let answer = peer.delete(&path, &json!({})).await.unwrap();
    assert_eq!(text(&answer, "/kind"), "ConfigMap");
    let held = peer.get(&path).await;
    assert_ne!(text(&held, "/metadata/deletionTimestamp"), "");
    peer.merge(&path, &json!({"metadata": {"finalizers": null}})).await.unwrap();
    assert_eq!(peer.find(&path).await, None);
}

async fn no_finalizer_comes_late(peer: &Peer) {
    let maps = maps(peer).await;
    peer.made(&maps, &json!({"metadata": {"name": "m", "finalizers": ["x.example/hold"]}})).await;
    let path = format!("{maps}/m");
    peer.delete(&path, &json!({})).await.unwrap();
    let more = json!({"metadata": {"finalizers": ["x.example/hold", "x.example/more"]}});
    let error = refused(peer.merge(&path, &more).await);
    assert_eq!((error.code, error.reason.as_str()), (422, "Invalid"));
    assert!(
        error.message.contains("no new finalizers can be added if the object is being deleted"),
        "{error:?}"
    );
    peer.merge(&path, &json!({"metadata": {"finalizers": null}})).await.unwrap();
}

async fn a_pod_on_a_node_ends_in_its_grace(peer: &Peer) {
    let pod = peer.bound_pod(&peer.namespace().await, json!({})).await;
    peer.ready(&pod).await;
    peer.delete(&pod, &json!({})).await.unwrap();
    let ending = peer.get(&pod).await;
    assert_ne!(text(&ending, "/metadata/deletionTimestamp"), "");
    assert_eq!(ending["metadata"]["deletionGracePeriodSeconds"], 30);
    peer.delete(&pod, &json!({"gracePeriodSeconds": 0})).await.unwrap();
    assert_eq!(peer.find(&pod).await, None);
}

async fn a_shorter_grace_shortens(peer: &Peer) {
    let pod = peer.bound_pod(&peer.namespace().await, json!({})).await;
    peer.ready(&pod).await;
    peer.delete(&pod, &json!({"gracePeriodSeconds": 20})).await.unwrap();
    peer.delete(&pod, &json!({"gracePeriodSeconds": 60})).await.unwrap();
    assert_eq!(peer.get(&pod).await["metadata"]["deletionGracePeriodSeconds"], 20, "never longer");
    peer.delete(&pod, &json!({"gracePeriodSeconds": 5})).await.unwrap();
    assert_eq!(peer.get(&pod).await["metadata"]["deletionGracePeriodSeconds"], 5);
    peer.delete(&pod, &json!({"gracePeriodSeconds": 0})).await.unwrap();
}

async fn a_negative_grace_is_a_second(peer: &Peer) {
    let pod = peer.bound_pod(&peer.namespace().await, json!({})).await;
    peer.ready(&pod).await;
    peer.delete(&pod, &json!({"gracePeriodSeconds": -5})).await.unwrap();
    assert_eq!(peer.get(&pod).await["metadata"]["deletionGracePeriodSeconds"], 1);
}

async fn a_pod_on_no_node_ends_at_once(peer: &Peer) {
    let pods = format!("/api/v1/namespaces/{}/pods", peer.namespace().await);
    let mut nowhere = pod("p");
    nowhere["spec"]["nodeSelector"] = json!({"contract.example/nowhere": "true"});
    peer.made(&pods, &nowhere).await;
    peer.delete(&format!("{pods}/p"), &json!({})).await.unwrap();
    assert_eq!(peer.find(&format!("{pods}/p")).await, None);
}

/// An owner and its dependent; both paths.
async fn family(peer: &Peer) -> (String, String) {
    let maps = maps(peer).await;
    let owner = peer.made(&maps, &map("owner", json!({}))).await;
    let reference = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": true,
    });
    let dependent = json!({"metadata": {"name": "dependent", "ownerReferences": [reference]}});
    peer.made(&maps, &dependent).await;
    // The garbage collector has to have seen the family before it may judge it.
    let (owner, dependent) = (format!("{maps}/owner"), format!("{maps}/dependent"));
    peer.get(&dependent).await;
    (owner, dependent)
}

fn propagation(policy: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy})
}

async fn dependents_go_in_the_background(peer: &Peer) {
    let (owner, dependent) = family(peer).await;
    peer.delete(&owner, &propagation("Background")).await.unwrap();
    assert_eq!(peer.find(&owner).await, None);
    peer.gone(&dependent).await;
}

async fn dependents_go_first_in_the_foreground(peer: &Peer) {
    let (owner, dependent) = family(peer).await;
    peer.merge(&dependent, &json!({"metadata": {"finalizers": ["x.example/hold"]}})).await.unwrap();
    peer.delete(&owner, &propagation("Foreground")).await.unwrap();
    assert_eq!(peer.get(&owner).await["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let ending = |object: &Value| !text(object, "/metadata/deletionTimestamp").is_empty();
    peer.becomes(&dependent, "the dependent to end", ending).await;
    assert!(peer.find(&owner).await.is_some(), "the owner waits for it");
    peer.merge(&dependent, &json!({"metadata": {"finalizers": null}})).await.unwrap();
    peer.gone(&owner).await;
}

async fn orphans_stay(peer: &Peer) {
    let (owner, dependent) = family(peer).await;
    peer.delete(&owner, &propagation("Orphan")).await.unwrap();
    peer.gone(&owner).await;
    let orphan = |object: &Value| object["metadata"].get("ownerReferences").is_none();
    peer.becomes(&dependent, "the dependent to be an orphan", orphan).await;
}

async fn a_collection_goes_by_label(peer: &Peer) {
    let maps = maps(peer).await;
    for (name, label) in [("a", "yes"), ("b", "no")] {
        peer.made(&maps, &json!({"metadata": {"name": name, "labels": {"go": label}}})).await;
    }
    peer.delete(&format!("{maps}?labelSelector=go%3Dyes"), &json!({})).await.unwrap();
    assert_eq!(peer.find(&format!("{maps}/a")).await, None);
    assert!(peer.find(&format!("{maps}/b")).await.is_some());
}

async fn a_dependent_of_nobody_goes(peer: &Peer) {
    let maps = maps(peer).await;
    let reference = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "nobody",
        "uid": "11111111-2222-3333-4444-555555555555",
    });
    peer.made(&maps, &json!({"metadata": {"name": "d", "ownerReferences": [reference]}})).await;
    peer.gone(&format!("{maps}/d")).await;
}
