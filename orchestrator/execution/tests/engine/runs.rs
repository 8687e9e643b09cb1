//! Runs from beginning to end.

use crate::cluster::{Cluster, condition};
use crate::plans;
use replank_execution::{Engine, Outcome, RunDir, RunError};
use replank_planning::plan::Plan;
use std::path::Path;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

/// Carries a plan out in a directory.
pub async fn apply(cluster: &Cluster, plan: &Plan, directory: &Path) -> Result<Outcome, RunError> {
    let (events, _told) = unbounded_channel();
    let run_dir = RunDir::open(directory)?;
    let engine = Engine::new(cluster.world(), plan.clone(), run_dir, events, CancellationToken::new());
    engine.apply().await
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_replaced_and_its_pods_move() {
    let cluster = Cluster::with_workers(&["w1", "w2"]).await;
    cluster.deployment("web", 3).await;
    let plan = plans::replacing(cluster.observed().await, &["w1"]);
    let directory = tempfile::tempdir().unwrap();

    let outcome = apply(&cluster, &plan, directory.path()).await.unwrap();

    assert_eq!(outcome, Outcome::Finished, "{}", journal(directory.path()));
    let nodes = cluster.list("/api/v1/nodes").await;
    let names: Vec<&str> = nodes.iter().filter_map(|n| n["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["cp1", "w1-r2", "w2"]);
    let new = &nodes[1];
    assert_eq!(new["spec"]["podCIDR"], "10.244.1.0/24");
    assert_eq!(new["metadata"]["labels"]["example.com/rack"], "7");
    assert_eq!(condition(new, "Ready"), "True");
    assert!(new["spec"]["taints"].is_null() || new["spec"]["taints"] == serde_json::json!([]));
    let pods = cluster.list("/api/v1/namespaces/default/pods").await;
    assert_eq!(pods.iter().filter(|p| condition(p, "Ready") == "True").count(), 3);
    // The same command on a finished run changes nothing.
    let ours = || cluster.server.requests().count(|r| r.client.starts_with("replank"));
    let asked = ours();
    assert_eq!(apply(&cluster, &plan, directory.path()).await.unwrap(), Outcome::Finished);
    assert_eq!(ours(), asked);
}

/// A run's journal, for messages.
pub fn journal(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("journal.ndjson")).unwrap_or_default()
}
