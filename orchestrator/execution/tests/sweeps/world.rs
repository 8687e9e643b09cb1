//! A cluster, the plan for it, and what must be true of it after a run.

use replank_execution::clock::VirtualClock;
use replank_execution::journal::Journal;
use replank_execution::world::Entropy;
use replank_execution::{Engine, Outcome, RunDir, RunError, Settings, World, observe};
use replank_planning::checks::Consent;
use replank_planning::intent::{Intent, Strategy};
use replank_planning::plan::Plan;
use replank_planning::planner::{self, NotPlanned};
use replank_provider_protocol::verbs::InitializeParams;
use replank_provider_simulator::SimulatorProvider;
use replank_simulator::Clock;
use replank_simulator::scenario::{Cluster, ClusterSpec};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

/// Secrets that are the same in every test.
#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        for byte in buffer {
            *byte = (self.0.fetch_add(7, Ordering::Relaxed) % 251) as u8;
        }
        Ok(())
    }
}

/// A cluster of so many nodes and pods, all ready.
pub async fn cluster(control_planes: usize, workers: usize, pods: usize) -> Cluster {
    let spec = ClusterSpec { control_planes, workers, pods, ..ClusterSpec::default() };
    Cluster::build(spec, Clock::fixed()).await.expect("the cluster comes up")
}

/// The outside of a run, as a new process sees it.
fn world_of(cluster: &Cluster) -> World {
    let client = kube::Client::new(cluster.datacenter.router().merge(cluster.server.router()), "default");
    let provider = Arc::new(SimulatorProvider::new(client.clone()));
    World::new(client, provider)
        .with_clock(Arc::new(VirtualClock::starting_at(cluster.server.clock().now())))
        .with_entropy(Arc::new(Counting::default()))
}

/// The plan of a cluster as it is now, with everything accepted.
pub async fn planned(cluster: &Cluster, strategy: Strategy) -> Plan {
    let world = world_of(cluster);
    let params = InitializeParams { protocol_versions: vec![1], settings: Value::Null };
    let capabilities = world.provider.initialize(params).await.unwrap().capabilities;
    let state = observe(&world, &Settings::with_provider(capabilities)).await.unwrap();
    let mut intent = Intent { strategy, ..Intent::default() };
    match planner::plan(&state, &intent, "test") {
        Err(NotPlanned::ConsentMissing(findings)) => {
            intent.accept =
                findings.into_iter().map(|f| Consent { code: f.code, object: Some(f.object) }).collect();
        }
        Err(error) => panic!("{error}: {:#?}", error.findings()),
        Ok(plan) => return plan,
    }
    planner::plan(&state, &intent, "test").unwrap()
}

/// One process: carries a plan out, or goes on with it, over a journal that may end it.
pub async fn process(
    cluster: &Cluster,
    plan: &Plan,
    directory: &Path,
    journal: impl FnOnce(Box<dyn Journal>) -> Box<dyn Journal> + Send + 'static,
) -> Result<Outcome, RunError> {
    let (events, _told) = unbounded_channel();
    let run_dir = RunDir::open(directory)?;
    Engine::new(world_of(cluster), plan.clone(), run_dir, events, CancellationToken::new())
        .with_journal(Box::new(journal))
        .apply()
        .await
}

/// One process that nothing ends.
pub async fn migrate(cluster: &Cluster, plan: &Plan, directory: &Path) -> Outcome {
    process(cluster, plan, directory, |inner| inner).await.unwrap_or_else(|error| panic!("{error}"))
}

/// A run's journal.
pub fn journal(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("journal.ndjson")).unwrap_or_default()
}

/// Kinds of which only how many there are, and of whom, can be equal.
const GENERATED: [&str; 6] = [
    "Pod",
    "ReplicaSet",
    "ControllerRevision",
    "EndpointSlice",
    "CertificateSigningRequest",
    "PersistentVolume",
];

/// Fields that differ between two clusters that are the same in meaning.
const INCIDENTAL: [&str; 13] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "generation",
    "timeAdded",
    "status",
    "nodeName",
    "renewTime",
    "kubectl.kubernetes.io/restartedAt",
    // The address of a device that flanneld makes: random.
    "flannel.alpha.coreos.com/backend-data",
    "volumeName",
    "volume.kubernetes.io/selected-node",
];

/// A cluster without uid, resourceVersion, times, generated suffixes and placement.
pub fn essence(cluster: &Cluster) -> BTreeMap<String, Value> {
    let mut found: BTreeMap<String, Value> = BTreeMap::new();
    for (resource, object) in cluster.objects() {
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        let kind: &str = &resource.kind;
        // The mirror of the run's state tells times and how often processes began.
        if matches!(kind, "Event" | "Lease" | "VolumeAttachment") || text("name") == "replank-status" {
            continue;
        }
        let place = format!("{}/{kind}/{}", resource.group, text("namespace"));
        if GENERATED.contains(&kind) {
            let owner = object["metadata"]["ownerReferences"][0]["kind"].as_str().unwrap_or("nobody");
            let whose = if owner == "ReplicaSet" || kind == "Pod" {
                format!("{place} of a {owner} {}", object["metadata"]["labels"]["app"])
            } else {
                format!("{place} of a {owner}")
            };
            if kind != "ReplicaSet" {
                let count = found.entry(whose).or_insert(json!(0));
                *count = json!(count.as_u64().unwrap_or(0) + 1);
            }
            continue;
        }
        let mut plain = (*object).clone();
        strip(&mut plain);
        found.insert(format!("{place}/{}", text("name")), plain);
    }
    for machine in cluster.datacenter.machines() {
        found.insert(format!("machine {}", machine.name), json!(machine.state));
    }
    found
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !INCIDENTAL.contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Each thing that was done to the machines, by their names, and how often: ids are given out anew.
pub fn effects(cluster: &Cluster) -> BTreeMap<String, usize> {
    let names: BTreeMap<String, String> =
        cluster.datacenter.machines().into_iter().map(|m| (m.id, m.name)).collect();
    let mut counts = BTreeMap::new();
    for effect in cluster.datacenter.effects() {
        if matches!(effect.effect.as_str(), "create" | "stop" | "start" | "delete" | "snapshot") {
            *counts
                .entry(format!("{} {}", effect.effect, names.get(&effect.subject).unwrap_or(&effect.subject)))
                .or_default() += 1;
        }
    }
    counts
}
