//! What the observer tells of, and what it does not: nobody's run, only single acts.

use super::{Observer, Violation, aftermath};
use crate::clock::Clock;
use crate::machines::{Caller, MachineView};
use crate::scenario::builtin::{Calico, Shape};
use crate::scenario::{Cluster, ClusterSpec};
use crate::schema::Resource;
use crate::schema::builtin::{NODES, PODS};
use crate::server::{DeleteOptions, Subresource};
use serde_json::{Value, json};
use std::time::Duration;

async fn cluster_with(shape: Shape) -> Cluster {
    let spec = ClusterSpec { pods: 12, ..ClusterSpec::small(Calico::of(shape)) };
    Cluster::build(spec, Clock::fixed()).await.expect("the cluster comes up")
}

async fn cluster() -> Cluster {
    cluster_with(Shape::Manifest).await
}

fn observer(cluster: &Cluster) -> Observer {
    Observer::new(&cluster.server, &cluster.datacenter)
}

/// Watches for so long.
async fn watched(observer: &mut Observer, seconds: u64) -> Vec<Violation> {
    let _ = tokio::time::timeout(Duration::from_secs(seconds), observer.watch()).await;
    observer.violations()
}

fn of<'v>(violations: &'v [Violation], invariant: &str) -> Vec<&'v str> {
    violations.iter().filter(|v| v.invariant == invariant).map(|v| v.seen.as_str()).collect()
}

/// The machine of a worker on which a pod runs that a budget of the same namespace selects.
fn machine_with_budget(cluster: &Cluster) -> MachineView {
    let direct = cluster.server.direct("story");
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "everybody", "namespace": "shop"},
        "spec": {"selector": {}, "maxUnavailable": 0},
    });
    direct.create(&crate::schema::builtin::POD_DISRUPTION_BUDGETS, budget).unwrap();
    let pods = direct.list(&PODS, Some("shop"));
    let node = pods.iter().find_map(|pod| pod["spec"]["nodeName"].as_str()).expect("a pod runs");
    let of_it = |machine: &MachineView| machine.node.as_deref() == Some(node);
    cluster.datacenter.machines().into_iter().find(of_it).expect("a node has a machine")
}

fn cordon(cluster: &Cluster, node: &str) {
    let patch = json!({"spec": {"unschedulable": true}});
    cluster.server.direct("story").merge_patch(&NODES, "", node, Subresource::None, patch).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_machine_stopped_under_a_budgets_pods_is_told() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    let machine = machine_with_budget(&cluster);
    cluster.datacenter.stop(&machine.id, Caller::default()).unwrap();
    let seen = watched(&mut observer, 5).await;
    let told = of(&seen, "pdb");
    assert!(told.iter().any(|seen| seen.contains("was to stop under Pod shop/")), "{seen:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_stopped_after_its_pods_were_sent_away_is_not() {
    let cluster = cluster().await;
    let direct = cluster.server.direct("story");
    let worker = cluster.datacenter.machines().into_iter().find(|m| m.name == "worker-1").unwrap();
    cordon(&cluster, "worker-1");
    let mut observer = observer(&cluster);
    for _ in 0..20 {
        for pod in direct.pods_on_node("worker-1") {
            let text = |key: &str| pod["metadata"][key].as_str().unwrap_or_default();
            // A budget that refuses has room again in a while.
            let _ = direct.evict(text("namespace"), text("name"));
        }
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
    cluster.datacenter.stop(&worker.id, Caller::default()).unwrap();
    let seen = watched(&mut observer, 5).await;
    assert_eq!(of(&seen, "pdb"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_node_deleted_under_a_budgets_pods_is_told_if_replank_did_it() {
    for (client, told) in [("replank", true), ("kubectl", false)] {
        let cluster = cluster().await;
        let mut observer = observer(&cluster);
        let node = machine_with_budget(&cluster).node.unwrap();
        cluster.server.direct(client).delete(&NODES, "", &node, DeleteOptions::default()).unwrap();
        let seen = watched(&mut observer, 5).await;
        assert_eq!(!of(&seen, "pdb").is_empty(), told, "{client}: {seen:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_pods_deleted_at_once_are_told() {
    let cluster = cluster().await;
    assert_eq!(aftermath::evictions(&cluster.server, "replank"), []);
    let request = http::Request::delete("/api/v1/namespaces/shop/pods").body(Vec::new()).unwrap();
    cluster.client("replank").request_text(request).await.unwrap();
    let seen = aftermath::evictions(&cluster.server, "replank");
    assert_eq!(of(&seen, "pdb"), ["/api/v1/namespaces/shop/pods was deleted past its budget"]);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_dies_by_itself_is_nobodys_doing() {
    let cluster = cluster().await;
    let mut observer = observer(&cluster);
    let machine = machine_with_budget(&cluster);
    cluster.datacenter.kill(&machine.id).unwrap();
    assert_eq!(watched(&mut observer, 200).await, []);
    cluster.datacenter.revive(&machine.id).unwrap();
    assert_eq!(watched(&mut observer, 200).await, []);
    // It is not an excuse for more.
    cordon(&cluster, "worker-2");
    let seen = watched(&mut observer, 5).await;
    assert_eq!(of(&seen, "ready-nodes").len(), 1, "{seen:#?}");
}

/// Gives a node a range that is new, then Calico a block in it.
async fn meeting_block(shape: Shape, version: &str) {
    let cluster = cluster_with(shape).await;
    let direct = cluster.server.direct("story");
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "new", "labels": {"replank.dev/network": "flannel"}},
        "spec": {"podCIDR": "10.244.7.0/24", "podCIDRs": ["10.244.7.0/24"]},
    });
    direct.create(&NODES, node).unwrap();
    let mut observer = observer(&cluster);
    assert_eq!(of(&watched(&mut observer, 5).await, "pod-cidr-disjoint"), [""; 0]);
    let kind: Resource = direct.resource(version, "IPAMBlock").expect("Calico's kinds are served");
    let block: Value = json!({
        "apiVersion": version, "kind": "IPAMBlock", "metadata": {"name": "10-244-7-64-26"},
        "spec": {"cidr": "10.244.7.64/26", "allocations": [], "attributes": [], "unallocated": []},
    });
    direct.create(&kind, block).unwrap();
    let seen = watched(&mut observer, 5).await;
    let told = "Node new has 10.244.7.0/24, and Calico uses 10.244.7.64/26";
    assert_eq!(of(&seen, "pod-cidr-disjoint"), [told], "{version}");
}

#[tokio::test(start_paused = true)]
async fn a_block_that_comes_later_is_looked_at() {
    meeting_block(Shape::Manifest, "crd.projectcalico.org/v1").await;
}

#[tokio::test(start_paused = true)]
async fn a_block_in_the_kinds_of_3_32_is_looked_at() {
    meeting_block(Shape::Definitions, "projectcalico.org/v3").await;
}
