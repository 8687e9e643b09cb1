//! Whole migrations, planned and carried out.

use crate::cluster::Counting;
use crate::runs::journal;
use replank_execution::clock::VirtualClock;
use replank_execution::{Engine, Outcome, RunDir, RunEvent, Settings, World, observe};
use replank_planning::checks::Consent;
use replank_planning::intent::{Intent, Strategy};
use replank_planning::plan::Plan;
use replank_planning::planner::{self, NotPlanned};
use replank_planning::state::ClusterState;

use replank_provider_protocol::verbs::InitializeParams;
use replank_provider_simulator::SimulatorProvider;
use replank_simulator::Clock;
use replank_simulator::scenario::{Cluster, ClusterSpec};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

fn world_of(cluster: &Cluster) -> World {
    let client = kube::Client::new(cluster.datacenter.router().merge(cluster.server.router()), "default");
    let provider = Arc::new(SimulatorProvider::new(client.clone()));
    World::new(client, provider)
        .with_clock(Arc::new(VirtualClock::starting_at(cluster.server.clock().now())))
        .with_entropy(Arc::new(Counting::default()))
}

async fn observed(world: &World) -> ClusterState {
    let params = InitializeParams { protocol_versions: vec![1], settings: Value::Null };
    let capabilities = world.provider.initialize(params).await.unwrap().capabilities;
    observe(world, &Settings::with_provider(capabilities)).await.unwrap()
}

/// A plan that accepts everything that needs consent.
fn planned(state: &ClusterState, strategy: Strategy) -> Plan {
    let mut intent = Intent { strategy, ..Intent::default() };
    match planner::plan(state, &intent, "test") {
        Err(NotPlanned::ConsentMissing(findings)) => {
            intent.accept =
                findings.into_iter().map(|f| Consent { code: f.code, object: Some(f.object) }).collect();
        }
        Err(error) => panic!("{error}: {:#?}", error.findings()),
        Ok(plan) => return plan,
    }
    planner::plan(state, &intent, "test").unwrap()
}

async fn migrate(cluster: &Cluster, strategy: Strategy, directory: &Path) -> Outcome {
    let world = world_of(cluster);
    let plan = planned(&observed(&world).await, strategy);
    let (events, mut told) = unbounded_channel();
    let run_dir = RunDir::open(directory).unwrap();
    let run = Engine::new(world, plan, run_dir, events, CancellationToken::new()).apply();
    let tell = std::env::var_os("REPLANK_TELL").is_some();
    tokio::pin!(run);
    loop {
        tokio::select! {
            biased;
            outcome = &mut run => return outcome.unwrap(),
            Some(event) = told.recv() => {
                if let (true, RunEvent::Recorded(entry)) = (tell, event) {
                    eprintln!("{} {}", entry.time, serde_json::to_string(&entry.record).unwrap());
                }
            }
        }
    }
}

async fn story(strategy: Strategy) {
    let spec = ClusterSpec { control_planes: 1, workers: 2, pods: 6, ..ClusterSpec::default() };
    let cluster = Cluster::build(spec, Clock::fixed()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let outcome = migrate(&cluster, strategy, directory.path()).await;
    assert_eq!(outcome, Outcome::Finished, "{}", journal(directory.path()));
}

#[tokio::test(start_paused = true)]
async fn calico_becomes_flannel_node_by_node() {
    story(Strategy::Rolling).await;
}

#[tokio::test(start_paused = true)]
async fn calico_becomes_flannel_at_once() {
    story(Strategy::Cutover).await;
}
