//! Nodes: ranges, taints, leases.

use super::cases;
use crate::peer::{Peer, refused, text};
use serde_json::{Value, json};

cases![
    a_range_is_set_once,
    a_range_does_not_change,
    a_range_does_not_go,
    both_fields_of_a_range_agree,
    a_new_node_is_not_ready,
    a_cordon_is_a_taint_too,
    an_unavailable_network_is_a_taint,
    an_available_network_lifts_the_taint,
    a_provider_id_is_set_once,
    a_node_without_a_range_is_given_one,
    ranges_that_are_taken_are_not_given,
    labels_and_taints_and_range_go_in_one_patch,
    a_taint_has_one_effect_once,
    a_deleted_node_comes_back_as_another,
    a_bound_pod_of_a_gone_node_is_collected,
];

async fn a_range_is_set_once(peer: &Peer) {
    let (path, _) = peer.node(json!({"spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"]}})).await;
    assert_eq!(text(&peer.get(&path).await, "/spec/podCIDR"), "10.9.0.0/24");
    let same = json!({"spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.9.0.0/24"]}});
    peer.merge(&path, &same).await.unwrap();
    peer.delete(&path, &json!({})).await.unwrap();
}

async fn a_range_does_not_change(peer: &Peer) {
    let (path, _) = peer.node(json!({"spec": {"podCIDR": "10.9.1.0/24", "podCIDRs": ["10.9.1.0/24"]}})).await;
    let other = json!({"spec": {"podCIDR": "10.9.2.0/24", "podCIDRs": ["10.9.2.0/24"]}});
    let error = refused(peer.merge(&path, &other).await);
    assert!(
        error.message.contains("node updates may not change podCIDR except from \"\" to valid"),
        "{} {}",
        error.code,
        error.message
    );
    assert_eq!((error.code, error.reason.as_str()), (422, "Invalid"));
    peer.delete(&path, &json!({})).await.unwrap();
}

async fn a_range_does_not_go(peer: &Peer) {
    let (path, _) = peer.node(json!({"spec": {"podCIDR": "10.9.3.0/24", "podCIDRs": ["10.9.3.0/24"]}})).await;
    let error = refused(peer.merge(&path, &json!({"spec": {"podCIDR": null, "podCIDRs": null}})).await);
    assert_eq!(error.code, 422);
    peer.delete(&path, &json!({})).await.unwrap();
}

async fn both_fields_of_a_range_agree(peer: &Peer) {
    let (path, made) = peer.node(json!({"spec": {"podCIDR": "10.9.4.0/24"}})).await;
    assert_eq!(made["spec"]["podCIDRs"], json!(["10.9.4.0/24"]));
    peer.delete(&path, &json!({})).await.unwrap();
}

fn taint<'a>(node: &'a Value, key: &str) -> Option<&'a Value> {
    node["spec"]["taints"].as_array().into_iter().flatten().find(|t| t["key"] == key)
}

async fn a_new_node_is_not_ready(peer: &Peer) {
    let (_, made) = peer.node(json!({})).await;
    let taint = taint(&made, "node.kubernetes.io/not-ready").expect("the taint of a new node");
    assert_eq!(text(taint, "/effect"), "NoSchedule");
}

async fn a_cordon_is_a_taint_too(peer: &Peer) {
    let (path, _) = peer.node(json!({})).await;
    peer.merge(&path, &json!({"spec": {"unschedulable": true}})).await.unwrap();
    let has = |node: &Value| taint(node, "node.kubernetes.io/unschedulable").is_some();
    peer.becomes(&path, "the cordon's taint", has).await;
    peer.merge(&path, &json!({"spec": {"unschedulable": null}})).await.unwrap();
    peer.becomes(&path, "the taint to go", |node| !has(node)).await;
}

async fn network(peer: &Peer, path: &str, status: &str) {
    let condition =
        json!({"type": "NetworkUnavailable", "status": status, "reason": "CalicoIsDown", "message": ""});
    let patch = json!({"status": {"conditions": [condition]}});
    peer.strategic(&format!("{path}/status"), &patch).await.unwrap();
}

async fn an_unavailable_network_is_a_taint(peer: &Peer) {
    let (path, _) = peer.node(json!({})).await;
    network(peer, &path, "True").await;
    let has = |node: &Value| {
        taint(node, "node.kubernetes.io/network-unavailable").is_some_and(|t| t["effect"] == "NoSchedule")
    };
    peer.becomes(&path, "the network's taint", has).await;
}

async fn an_available_network_lifts_the_taint(peer: &Peer) {
    let (path, _) = peer.node(json!({})).await;
    network(peer, &path, "True").await;
    let has = |node: &Value| taint(node, "node.kubernetes.io/network-unavailable").is_some();
    peer.becomes(&path, "the network's taint", has).await;
    network(peer, &path, "False").await;
    peer.becomes(&path, "the taint to go", |node| !has(node)).await;
}

async fn a_provider_id_is_set_once(peer: &Peer) {
    let (path, _) = peer.node(json!({})).await;
    peer.merge(&path, &json!({"spec": {"providerID": "contract://1"}})).await.unwrap();
    let error = refused(peer.merge(&path, &json!({"spec": {"providerID": "contract://2"}})).await);
    assert_eq!(error.code, 422);
}

async fn a_node_without_a_range_is_given_one(peer: &Peer) {
    let (path, _) = peer.node(json!({})).await;
    let node = peer.becomes(&path, "a range", |n| !text(n, "/spec/podCIDR").is_empty()).await;
    assert!(text(&node, "/spec/podCIDR").ends_with(".0/24"), "{node}");
    assert_eq!(node["spec"]["podCIDRs"], json!([node["spec"]["podCIDR"]]));
}

async fn ranges_that_are_taken_are_not_given(peer: &Peer) {
    let (first, _) = peer.node(json!({})).await;
    let (second, _) = peer.node(json!({})).await;
    let range = async |path: &str| {
        let node = peer.becomes(path, "a range", |n| !text(n, "/spec/podCIDR").is_empty()).await;
        text(&node, "/spec/podCIDR").to_owned()
    };
    assert_ne!(range(&first).await, range(&second).await);
}

async fn labels_and_taints_and_range_go_in_one_patch(peer: &Peer) {
    let (path, made) = peer.node(json!({})).await;
    // A controller-manager that allocates is quicker than anyone.
    let range = peer.becomes(&path, "a range", |n| !text(n, "/spec/podCIDR").is_empty()).await;
    let patch = json!({
        "metadata": {"uid": made["metadata"]["uid"], "labels": {"replank.dev/network": "flannel"}},
        "spec": {
            "podCIDR": range["spec"]["podCIDR"], "podCIDRs": range["spec"]["podCIDRs"],
            "taints": [{"key": "x.example/mine", "effect": "NoSchedule"}],
        },
    });
    let after = peer.merge(&path, &patch).await.unwrap();
    assert_eq!(text(&after, "/metadata/labels/replank.dev~1network"), "flannel");
    assert!(taint(&after, "x.example/mine").is_some());
}

async fn a_taint_has_one_effect_once(peer: &Peer) {
    let (path, _) = peer.node(json!({})).await;
    let taint = |value: &str| json!({"key": "x.example/mine", "value": value, "effect": "NoSchedule"});
    let twice = json!({"spec": {"taints": [taint("a"), taint("b")]}});
    let error = refused(peer.merge(&path, &twice).await);
    assert_eq!((error.code, error.causes[0].0.as_str()), (422, "FieldValueDuplicate"));
}

async fn a_deleted_node_comes_back_as_another(peer: &Peer) {
    let (path, made) = peer.node(json!({})).await;
    let uid = made["metadata"]["uid"].clone();
    peer.delete(&path, &json!({"preconditions": {"uid": uid}})).await.unwrap();
    let again = peer.made("/api/v1/nodes", &json!({"metadata": {"name": made["metadata"]["name"]}})).await;
    assert_ne!(again["metadata"]["uid"], uid);
    let error = refused(peer.delete(&path, &json!({"preconditions": {"uid": uid}})).await);
    assert_eq!(error.code, 409);
}

async fn a_bound_pod_of_a_gone_node_is_collected(peer: &Peer) {
    let namespace = peer.namespace().await;
    let pod = peer.bound_pod(&namespace, json!({})).await;
    let node = text(&peer.get(&pod).await, "/spec/nodeName").to_owned();
    peer.delete(&format!("/api/v1/nodes/{node}"), &json!({})).await.unwrap();
    // The collector looks every 20 s, and gives a Node 40 s to come back.
    for _ in 0..2 {
        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    }
    peer.gone(&pod).await;
}
