//! Whole migrations, planned and carried out.

use crate::cluster::Counting;
use crate::runs::journal;
use replank_execution::clock::VirtualClock;
use replank_execution::journal::{Journal, JournalError};
use replank_execution::{Engine, Guards, Outcome, RunDir, RunError, Settings, World, observe};
use replank_planning::checks::Consent;
use replank_planning::intent::{Intent, Strategy};
use replank_planning::journal::Record;
use replank_planning::plan::{Action, Plan};
use replank_planning::planner::{self, NotPlanned};
use replank_planning::state::ClusterState;

use replank_provider_protocol::verbs::InitializeParams;
use replank_provider_simulator::SimulatorProvider;
use replank_simulator::Clock;
use replank_simulator::observer::{Inventory, came, changed, inventory};
use replank_simulator::scenario::{Cluster, ClusterSpec};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

pub fn world_of(cluster: &Cluster) -> World {
    let client = kube::Client::new(cluster.datacenter.router().merge(cluster.server.router()), "default");
    let provider = Arc::new(SimulatorProvider::new(client.clone()));
    World::new(client, provider)
        .with_clock(Arc::new(VirtualClock::starting_at(cluster.server.clock().now())))
        .with_entropy(Arc::new(Counting::default()))
}

pub async fn observed(world: &World) -> ClusterState {
    let params = InitializeParams { protocol_versions: vec![1], settings: Value::Null };
    let capabilities = world.provider.initialize(params).await.unwrap().capabilities;
    observe(world, &Settings::with_provider(capabilities)).await.unwrap()
}

/// A plan that accepts everything that needs consent.
pub fn planned(state: &ClusterState, mut intent: Intent) -> Plan {
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

/// A cluster of one control plane and two workers.
pub async fn small() -> Cluster {
    let spec = ClusterSpec { control_planes: 1, workers: 2, pods: 6, ..ClusterSpec::default() };
    Cluster::build(spec, Clock::fixed()).await.unwrap()
}

/// The plan of a cluster as it is now.
pub async fn planned_for(cluster: &Cluster, strategy: Strategy) -> Plan {
    planned(&observed(&world_of(cluster)).await, Intent { strategy, ..Intent::default() })
}

/// Carries a plan out, or goes on with it.
pub async fn migrate(cluster: &Cluster, plan: Plan, directory: &Path) -> Outcome {
    migrate_with(cluster, plan, directory, Guards::default()).await
}

/// The same with some guards taken away.
pub async fn migrate_with(cluster: &Cluster, plan: Plan, directory: &Path, guards: Guards) -> Outcome {
    migrate_by(world_of(cluster).with_guards(guards), plan, directory).await
}

/// The same through this world.
pub async fn migrate_by(world: World, plan: Plan, directory: &Path) -> Outcome {
    let (events, _told) = unbounded_channel();
    let run_dir = RunDir::open(directory).unwrap();
    Engine::new(world, plan, run_dir, events, CancellationToken::new()).apply().await.unwrap()
}

async fn story(control_planes: usize, workers: usize, pods: usize, strategy: Strategy) {
    let spec = ClusterSpec { control_planes, workers, pods, ..ClusterSpec::default() };
    let cluster = Cluster::build(spec, Clock::fixed()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let plan = planned_for(&cluster, strategy).await;
    let outcome = migrate(&cluster, plan.clone(), directory.path()).await;
    assert_eq!(outcome, Outcome::Finished, "{}", journal(directory.path()));
    for fact in unlike(&cluster) {
        let fine = match fact.split_once(": ") {
            // Looked at below.
            Some(("came", _)) => true,
            Some(("went", object)) => object.contains("calico"),
            _ => false,
        };
        assert!(fine, "{fact}");
    }
    only_planned(&cluster, &plan);
}

/// Nothing changed and nothing came that the plan does not name.
pub fn only_planned(cluster: &Cluster, plan: &Plan) {
    let (before, after) = (Inventory::of(&cluster.before_run), Inventory::of(&cluster.objects()));
    assert_eq!(changed(&cluster.bystanders(), &after), Vec::<String>::new());
    assert_eq!(came(&before, &after, &named(plan)), Vec::<String>::new());
}

/// The objects that a plan installs, as inventories name them.
fn named(plan: &Plan) -> BTreeSet<String> {
    let installs = plan.steps.iter().filter_map(|step| match &step.action {
        Action::InstallObjects(install) => Some(&install.objects),
        _ => None,
    });
    installs
        .flatten()
        .map(|new| {
            inventory::key(
                &new.object.kind.group,
                &new.object.kind.kind,
                &new.object.namespace,
                &new.object.name,
            )
        })
        .collect()
}

/// What is there now and was not before the network came, or the other way round, but for what lives
/// and dies by itself; and what is not as it was.
pub fn unlike(cluster: &Cluster) -> Vec<String> {
    let name =
        |(resource, object): &(replank_simulator::schema::Resource, replank_simulator::server::Object)| {
            let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
            format!("{}/{}/{}/{}", resource.group, resource.kind, text("namespace"), text("name"))
        };
    let fleeting = [
        "/Pod/",
        "/Event/",
        "/Lease/",
        "/EndpointSlice/",
        "/ReplicaSet/",
        "/Node/",
        "/ControllerRevision/",
        "/CSINode/",
        "/CertificateSigningRequest/",
    ];
    let names = |all: &[(replank_simulator::schema::Resource, replank_simulator::server::Object)]| {
        all.iter()
            .map(name)
            .filter(|n| !fleeting.iter().any(|f| n.contains(f)))
            .collect::<std::collections::BTreeSet<String>>()
    };
    let before = names(&cluster.before_run);
    let network = names(&cluster.before_network);
    let after = names(&cluster.objects());
    let came = after.difference(&before).map(|n| format!("came: {n}"));
    let went = before.difference(&after).map(|n| format!("went: {n}"));
    let lost = network.difference(&after).map(|n| format!("lost: {n}"));
    let others = changed(&cluster.bystanders(), &Inventory::of(&cluster.objects()));
    let others = others.into_iter().map(|key| format!("changed: {key}"));
    came.chain(went).chain(lost).chain(others).collect()
}

/// Loses the record of every step's first success: each step is done twice, by two processes.
struct Forgetful {
    inner: Box<dyn Journal>,
    known: Arc<Mutex<BTreeSet<String>>>,
}

impl Journal for Forgetful {
    fn append(&mut self, line: &[u8]) -> Result<(), JournalError> {
        let line_json: Value = serde_json::from_slice(line).unwrap();
        let record = &line_json["record"];
        if record["record"] == "succeeded" {
            let step = record["step"].as_str().unwrap().to_owned();
            if self.known.lock().unwrap().insert(step) {
                return Err(JournalError::Crashed);
            }
        }
        self.inner.append(line)
    }
}

async fn twice(strategy: Strategy) {
    let spec = ClusterSpec { control_planes: 2, workers: 2, pods: 12, ..ClusterSpec::default() };
    let cluster = Cluster::build(spec, Clock::fixed()).await.unwrap();
    let plan = planned_for(&cluster, strategy).await;
    let directory = tempfile::tempdir().unwrap();
    let known = Arc::new(Mutex::new(BTreeSet::new()));
    let outcome = loop {
        let (events, _told) = unbounded_channel();
        let run_dir = RunDir::open(directory.path()).unwrap();
        let known = known.clone();
        let run = Engine::new(world_of(&cluster), plan.clone(), run_dir, events, CancellationToken::new())
            .with_journal(Box::new(move |inner| Box::new(Forgetful { inner, known })))
            .apply()
            .await;
        match run {
            Err(RunError::Journal(JournalError::Crashed)) => {}
            ended => break ended.unwrap(),
        }
    };
    assert_eq!(outcome, Outcome::Finished, "{}", journal(directory.path()));
    assert_eq!(known.lock().unwrap().len(), plan.steps.len());
    let mut effects: BTreeMap<(String, String), usize> = BTreeMap::new();
    for effect in cluster.datacenter.effects() {
        if matches!(effect.effect.as_str(), "create" | "stop" | "start" | "delete" | "snapshot") {
            *effects.entry((effect.effect, effect.subject)).or_default() += 1;
        }
    }
    let repeated: Vec<_> = effects.iter().filter(|(_, count)| **count > 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
    assert_eq!(cluster.datacenter.machines().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn every_step_of_a_rolling_migration_can_be_done_twice() {
    twice(Strategy::Rolling).await;
}

#[tokio::test(start_paused = true)]
async fn every_step_of_a_cutover_can_be_done_twice() {
    twice(Strategy::Cutover).await;
}

#[tokio::test(start_paused = true)]
async fn calico_becomes_flannel_node_by_node() {
    story(1, 2, 6, Strategy::Rolling).await;
}

#[tokio::test(start_paused = true)]
async fn calico_becomes_flannel_at_once() {
    story(1, 2, 6, Strategy::Cutover).await;
}

#[tokio::test(start_paused = true)]
async fn three_control_planes_are_replaced_one_at_a_time() {
    story(3, 3, 60, Strategy::Rolling).await;
}

#[tokio::test(start_paused = true)]
async fn several_workers_are_replaced_at_once_where_that_is_wanted() {
    let spec = ClusterSpec { control_planes: 1, workers: 7, pods: 60, ..ClusterSpec::default() };
    let cluster = Cluster::build(spec, Clock::fixed()).await.unwrap();
    let mut intent = Intent::default();
    intent.nodes.max_surge = 3;
    let plan = planned(&observed(&world_of(&cluster)).await, intent);
    let directory = tempfile::tempdir().unwrap();
    let outcome = migrate(&cluster, plan, directory.path()).await;
    assert_eq!(outcome, Outcome::Finished, "{}", journal(directory.path()));
    let read = RunDir::look(directory.path()).unwrap().1.unwrap();
    let mut open = 0_usize;
    let mut most = 0;
    for entry in &read.entries {
        match &entry.record {
            Record::Started { step, attempt: 1, .. } if step.as_str().ends_with("/create") => open += 1,
            Record::Succeeded { step, .. } if step.as_str().ends_with("/delete-node") => open -= 1,
            _ => {}
        }
        most = most.max(open);
    }
    assert_eq!(most, 3);
}
