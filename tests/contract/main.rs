//! What the orchestrator relies on in an API server, case by case, against the simulator and against a
//! real kube-apiserver. Where they differ, the simulator is wrong.
//!
//! The real one (etcd, kube-apiserver, kube-controller-manager) is started from the folder of programs
//! that `REPLANK_REAL_BIN` names; without it the suite says that it did not run against a real server.

mod cases;
mod peer;
mod real;

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use peer::Peer;
use replank_tests::skip;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// How many cases ask a real server at once: each has a namespace and names of its own, and the time goes
/// into waiting for controllers.
const AT_ONCE: usize = 4;

/// Runs every case (or the one that `REPLANK_CONTRACT_CASE` names), and fails with the names of those that
/// are not kept.
async fn hold(peer: Arc<Peer>, at_once: usize) {
    let only = std::env::var("REPLANK_CONTRACT_CASE").ok();
    let chosen = cases::all().into_iter().filter(|case| only.as_ref().is_none_or(|name| case.name == *name));
    let broken: Vec<&str> = stream::iter(chosen)
        .map(|case| {
            let run = (case.run)(peer.clone());
            async move { (case.name, AssertUnwindSafe(run).catch_unwind().await) }
        })
        .buffer_unordered(at_once)
        .filter_map(|(name, ended)| async move { ended.is_err().then_some(name) })
        .collect()
        .await;
    assert!(broken.is_empty(), "{} cases are not kept by {}: {broken:#?}", broken.len(), peer.who);
}

#[test]
fn there_are_enough_cases_and_no_name_twice() {
    let names: std::collections::BTreeSet<&str> = cases::all().iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases::all().len());
    assert!(names.len() >= 80, "{} cases", names.len());
}

#[tokio::test(start_paused = true)]
async fn the_simulator_keeps_the_contract() {
    hold(Arc::new(Peer::simulated().await), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server_keeps_the_contract() {
    match real::Server::start().await {
        Ok(server) => hold(Arc::new(server.peer()), AT_ONCE).await,
        Err(real::Missing(reason)) => skip("a_real_server_keeps_the_contract", &reason),
    }
}
