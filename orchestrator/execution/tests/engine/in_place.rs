//! Machines that are joined again, in the place of fresh ones.

use crate::migration::{migrate_by, planned, world_of};
use crate::runs::journal;
use replank_execution::{Outcome, Settings, World, observe};
use replank_planning::checks::{Code, Finding, Severity};
use replank_planning::intent::{Intent, Strategy};
use replank_planning::planner::{self, NotPlanned};
use replank_planning::state::ClusterState;
use replank_provider_protocol::verbs::InitializeParams;
use replank_simulator::Clock;
use replank_simulator::scenario::{Cluster, ClusterSpec};
use serde_json::{Value, json};

/// A cluster whose provider has no fresh machines.
async fn cluster(control_planes: usize) -> (Cluster, World, ClusterState) {
    let spec = ClusterSpec { control_planes, workers: 2, pods: 6, ..ClusterSpec::default() };
    let cluster = Cluster::build(spec, Clock::fixed()).await.unwrap();
    let world = world_of(&cluster);
    let params = InitializeParams { protocol_versions: vec![1], settings: json!({"inPlace": true}) };
    let capabilities = world.provider.initialize(params).await.unwrap().capabilities;
    let state = observe(&world, &Settings::with_provider(capabilities)).await.unwrap();
    (cluster, world, state)
}

#[tokio::test(start_paused = true)]
async fn every_machine_is_joined_again_under_its_own_name() {
    let (cluster, world, state) = cluster(3).await;
    let plan = planned(&state, Intent::default());
    let directory = tempfile::tempdir().unwrap();

    let outcome = migrate_by(world, plan.clone(), directory.path()).await;

    assert_eq!(outcome, Outcome::Finished, "{}", journal(directory.path()));
    assert!(journal(directory.path()).contains(r#""replacement":"in_place""#), "the journal says how");
    let text = |node: &Value, key: &str| node["metadata"][key].as_str().unwrap_or_default().to_owned();
    let objects = cluster.objects();
    let nodes = objects.iter().filter(|(resource, _)| resource.kind == "Node");
    let nodes: Vec<(String, String)> =
        nodes.map(|(_, node)| (text(node, "name"), text(node, "uid"))).collect();
    assert_eq!(nodes.len(), plan.slots.len());
    for slot in &plan.slots {
        let again = nodes.iter().find(|(name, _)| *name == slot.old.name.as_str());
        let (_, uid) = again.unwrap_or_else(|| panic!("{} is gone: {nodes:?}", slot.old.name));
        assert_ne!(uid, slot.old.uid.as_str(), "{} was never deleted", slot.old.name);
    }
}

#[tokio::test(start_paused = true)]
async fn the_plan_asks_for_consent_by_node_and_has_no_way_back_from_the_join() {
    let (_cluster, _world, state) = cluster(3).await;
    let Err(NotPlanned::ConsentMissing(findings)) = planner::plan(&state, &Intent::default(), "test") else {
        panic!("nobody has accepted anything");
    };
    let in_place: Vec<&str> =
        findings.iter().filter(|f| f.code == Code::InPlace).map(|f| f.object.as_str()).collect();
    assert_eq!(in_place.len(), 5, "{in_place:?}");
    let plan = planned(&state, Intent::default());
    let order = |step: &str| plan.steps.iter().position(|s| s.id.as_str() == step).expect(step);
    for (before, after) in
        [("drain", "stop"), ("stop", "delete-node"), ("delete-node", "create"), ("create", "admit")]
    {
        assert!(
            order(&format!("worker-1/{before}")) < order(&format!("worker-1/{after}")),
            "{before} {after}"
        );
    }
    assert!(order("worker-1/admit") < order("fence/first"), "there is no new side before");
}

/// What keeps a plan from being made, of machines that are joined again.
fn blockers(state: &ClusterState, intent: &Intent) -> Vec<String> {
    let Err(error) = planner::plan(state, intent, "test") else { return Vec::new() };
    let blocks = |f: &&Finding| f.code == Code::InPlace && f.severity == Severity::Blocker;
    error.findings().iter().filter(blocks).map(|f| f.object.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_only_control_plane_can_not_be_joined_again() {
    let (_cluster, _world, state) = cluster(1).await;
    assert_eq!(blockers(&state, &Intent::default()), ["Node control-plane-1"], "its etcd would be lost");
}

#[tokio::test(start_paused = true)]
async fn a_cutover_needs_a_machine_to_begin_with() {
    let (_cluster, _world, state) = cluster(3).await;
    let intent = Intent { strategy: Strategy::Cutover, ..Intent::default() };
    assert_eq!(blockers(&state, &intent), ["cluster"], "old nodes can give no pod a network any more");
}
