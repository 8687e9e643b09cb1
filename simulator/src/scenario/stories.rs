//! What a whole cluster lives through: silence, outages and faults, after which all is as it was.

use super::{Cluster, ClusterSpec};
use crate::clock::Clock;
use crate::faults::Fault;
use crate::scenario::builtin::Calico;
use crate::schema::builtin::{DEPLOYMENTS, NODES, PODS};
use crate::server::Subresource;
use serde_json::{Value, json};
use std::time::Duration;

async fn cluster() -> Cluster {
    let spec = ClusterSpec { pods: 12, ..ClusterSpec::small(Calico::default()) };
    Cluster::build(spec, Clock::fixed()).await.expect("the cluster comes up")
}

/// All nodes and pods are ready again soon; a minute is longer than any back-off of these stories.
async fn recovers(cluster: &Cluster, after: &str) {
    let minute = Duration::from_secs(60);
    let ready = tokio::time::timeout(minute, cluster.all_ready(after)).await;
    assert!(ready.is_ok(), "a minute after {after} not all is ready: {:#?}", unready(cluster));
}

fn unready(cluster: &Cluster) -> Vec<String> {
    let direct = cluster.server.direct("story");
    let condition = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap_or_default()
    };
    [NODES, PODS]
        .iter()
        .flat_map(|resource| direct.list(resource, None))
        .filter(|object| condition(object)["status"] != "True")
        .map(|object| format!("{}: {}", object["metadata"]["name"], condition(&object)))
        .collect()
}

/// Every pod of every Deployment is made anew.
fn roll(cluster: &Cluster, turn: usize) {
    let direct = cluster.server.direct("story");
    for deployment in direct.list(&DEPLOYMENTS, None) {
        let text = |key: &str| deployment["metadata"][key].as_str().unwrap_or_default();
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {"turn": turn.to_string()}}}}});
        direct
            .merge_patch(&DEPLOYMENTS, text("namespace"), text("name"), Subresource::None, patch)
            .expect("a Deployment can be rolled");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_was_silent_reports_its_node_and_its_pods_again() {
    let cluster = cluster().await;
    let worker = cluster.datacenter.machines().into_iter().next_back().unwrap().name;
    cluster.server.faults().raise(Fault::named("kubelet-stops").subject(&worker));
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(unready(&cluster).len() > 1, "the node and its pods");
    cluster.server.faults().lift_all();
    recovers(&cluster, "the silence").await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_whose_api_server_was_away_is_ready_again() {
    let cluster = cluster().await;
    for (turn, seconds) in [5, 20, 45, 60, 75, 120].into_iter().enumerate() {
        roll(&cluster, turn);
        tokio::time::sleep(Duration::from_millis(700 * turn as u64)).await;
        cluster.server.faults().raise(Fault::named("api-server-away"));
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        cluster.server.faults().lift_all();
        recovers(&cluster, &format!("an outage of {seconds} s")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_strikes_a_kubelets_requests_once_leaves_no_trace() {
    let cluster = cluster().await;
    let names = [
        "conflict",
        "dropped-connection",
        "lost-response",
        "unavailable",
        "internal-error",
        "too-many-requests",
        "watch-ends",
    ];
    for (turn, name) in names.into_iter().enumerate() {
        cluster.server.faults().raise(Fault::named(name).client("kubelet").count(40));
        roll(&cluster, turn);
        recovers(&cluster, name).await;
        cluster.server.faults().lift_all();
    }
}
