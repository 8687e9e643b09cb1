//! Silent nodes, taints, pods without a node, pod CIDRs.

use super::world::{World, workload};
use crate::controllers::objects::{condition_status, items, text};
use crate::schema::builtin::{DEPLOYMENTS, NODES, PODS};
use serde_json::json;

fn taints(world: &World, node: &str) -> Vec<String> {
    let node = world.get(&NODES, node).unwrap();
    let text = |taint: &serde_json::Value| format!("{}:{}", text(taint, "/key"), text(taint, "/effect"));
    items(&node, "/spec/taints").iter().map(text).collect()
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_becomes_unknown_and_loses_its_pods_after_their_tolerance() {
    let world = World::new(&["n1", "n2"]);
    world.make(&DEPLOYMENTS, "web", workload("web", 2));
    world.until("both", |world| world.status(&DEPLOYMENTS, "web")["availableReplicas"] == 2).await;
    assert_eq!(world.nodes_of("web"), ["n1", "n2"]);
    world.silence("n2");
    world.rest(30).await;
    assert_eq!(condition_status(&world.get(&NODES, "n2").unwrap(), "Ready"), "True");
    world.rest(25).await;
    assert_eq!(condition_status(&world.get(&NODES, "n2").unwrap(), "Ready"), "Unknown");
    assert_eq!(
        taints(&world, "n2"),
        ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]
    );
    let pods = world.direct.pods_on_node("n2");
    assert_eq!(condition_status(&pods[0], "Ready"), "False");
    world.rest(280).await;
    assert_eq!(world.nodes_of("web"), ["n1", "n2"]);
    world.rest(10).await;
    assert_eq!(world.nodes_of("web"), ["n1", "n1"]);
    // Its kubelet can't end the pod; once the Node is gone, the pod goes too.
    assert_eq!(world.direct.pods_on_node("n2").len(), 1);
    world.delete(&NODES, "n2");
    world.rest(39).await;
    assert_eq!(world.direct.pods_on_node("n2").len(), 1);
    world.rest(2).await;
    assert!(world.direct.pods_on_node("n2").is_empty());
}

#[tokio::test(start_paused = true)]
async fn conditions_and_cordons_become_taints() {
    let world = World::new(&["n1", "n2"]);
    world.patch(&NODES, "n1", json!({"spec": {"unschedulable": true}}));
    world
        .until("the taint", |world| taints(world, "n1") == ["node.kubernetes.io/unschedulable:NoSchedule"])
        .await;
    world.patch(&NODES, "n1", json!({"spec": {"unschedulable": null}}));
    world.until("its end", |world| taints(world, "n1").is_empty()).await;
    let status = json!({"status": {"conditions": [
        {"type": "Ready", "status": "False"}, {"type": "NetworkUnavailable", "status": "True"},
    ]}});
    world.direct.merge_patch(&NODES, "", "n2", crate::server::Subresource::Status, status).unwrap();
    world
        .until("three taints", |world| {
            taints(world, "n2")
                == [
                    "node.kubernetes.io/not-ready:NoSchedule",
                    "node.kubernetes.io/network-unavailable:NoSchedule",
                    "node.kubernetes.io/not-ready:NoExecute",
                ]
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_no_execute_taint_ends_what_does_not_tolerate_it() {
    let world = World::new(&["n1", "n2"]);
    world.make(&DEPLOYMENTS, "web", workload("web", 2));
    world.until("both", |world| world.nodes_of("web") == ["n1", "n2"]).await;
    world.patch(&NODES, "n1", json!({"spec": {"taints": [{"key": "out", "effect": "NoExecute"}]}}));
    world.until("the move", |world| world.nodes_of("web") == ["n2", "n2"]).await;
    assert!(world.direct.list(&PODS, Some("default")).len() <= 3);
}

const OLD: &[(&str, &str)] = &[("allocate-node-cidrs", "true"), ("cluster-cidr", "192.168.0.0/16")];
const NEW: &[(&str, &str)] = &[("allocate-node-cidrs", "true"), ("cluster-cidr", "10.244.0.0/16")];
const HELD: &[(&str, &str)] = &[("allocate-node-cidrs", "false"), ("cluster-cidr", "10.244.0.0/16")];

#[tokio::test(start_paused = true)]
async fn nodes_get_pod_cidrs_in_turn() {
    let world = World::with_flags(&["n1", "n2"], OLD);
    let cidr =
        |world: &World, name: &str| text(&world.get(&NODES, name).unwrap(), "/spec/podCIDR").to_owned();
    world.until("both", |world| !cidr(world, "n2").is_empty()).await;
    assert_eq!(
        (cidr(&world, "n1").as_str(), cidr(&world, "n2").as_str()),
        ("192.168.0.0/24", "192.168.1.0/24")
    );
    world.add_node("n3", json!({"spec": {"podCIDR": "192.168.2.0/24", "podCIDRs": ["192.168.2.0/24"]}}));
    world.add_node("n4", json!({}));
    world.until("n4's", |world| !cidr(world, "n4").is_empty()).await;
    assert_eq!(cidr(&world, "n4"), "192.168.3.0/24");
}

#[tokio::test(start_paused = true)]
async fn a_node_outside_of_the_range_keeps_the_controller_manager_from_starting() {
    let mut world = World::with_flags(&[], HELD);
    let spec = json!({"spec": {"podCIDR": "192.168.0.0/24", "podCIDRs": ["192.168.0.0/24"]}});
    world.add_node("n1", spec);
    let refused = world.start_manager(NEW).unwrap_err();
    assert_eq!(
        refused,
        "failed to mark cidr[192.168.0.0/24] at idx [0] as occupied for node: n1: cidr 192.168.0.0/24 is out \
         the range of cluster cidr 10.244.0.0/16"
    );
    world.start_manager(HELD).unwrap();
    world.delete(&NODES, "n1");
    world.start_manager(NEW).unwrap();
}
