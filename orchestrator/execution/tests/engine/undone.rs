//! Whatever was done up to the first node is undone without a trace.

use crate::migration::{observed, planned, world_of};
use crate::runs::journal;
use replank_execution::{Engine, Outcome, RunDir, RunEvent};
use replank_planning::ids::StepId;
use replank_planning::intent::{Intent, Strategy};
use replank_planning::journal::Record;
use replank_planning::plan::Plan;
use replank_simulator::Clock;
use replank_simulator::scenario::builtin::Calico;
use replank_simulator::scenario::{Cluster, ClusterSpec};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

/// Kinds whose objects come, change and go by themselves.
const FLEETING: [&str; 8] = [
    "Pod",
    "Event",
    "Lease",
    "EndpointSlice",
    "Endpoints",
    "ControllerRevision",
    "CSINode",
    "CertificateSigningRequest",
];
/// What a run keeps for itself, and the records that Calico keeps of pods' addresses, which move with them.
const OWN: [&str; 3] = ["replank-status", "IPAMBlock", "IPAMHandle"];

/// Everything there is, but for what only tells incarnations and times apart; and the manifests of every host,
/// byte for byte.
fn everything(cluster: &Cluster) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (resource, object) in cluster.objects() {
        if FLEETING.contains(&&*resource.kind) {
            continue;
        }
        let mut object = (*object).clone();
        let name = format!(
            "{} {}/{}",
            resource.kind,
            object["metadata"]["namespace"].as_str().unwrap_or_default(),
            object["metadata"]["name"].as_str().unwrap_or_default()
        );
        object.as_object_mut().unwrap().remove("status");
        let metadata = object["metadata"].as_object_mut().unwrap();
        for key in ["uid", "resourceVersion", "generation", "managedFields", "creationTimestamp"] {
            metadata.remove(key);
        }
        if !OWN.iter().any(|own| name.contains(own)) {
            all.insert(name, object);
        }
    }
    for machine in cluster.datacenter.machines() {
        let Ok(host) = cluster.datacenter.host(&machine.id) else { continue };
        for (path, file) in host.files().contents() {
            if path.starts_with("/etc/kubernetes/manifests/") {
                all.insert(format!("{}:{path}", machine.name), json!(file.text()));
            }
        }
    }
    all
}

async fn drive(cluster: &Cluster, plan: &Plan, directory: &Path, pause_at: Option<&StepId>) -> Outcome {
    let (events, mut told) = unbounded_channel();
    let pause = CancellationToken::new();
    let run_dir = RunDir::open(directory).unwrap();
    let engine = Engine::new(world_of(cluster), plan.clone(), run_dir, events, pause.clone());
    let driving = async {
        match pause_at {
            Some(_) => engine.apply().await.unwrap(),
            None => engine.rollback(None).await.unwrap(),
        }
    };
    let watching = async {
        while let Some(event) = told.recv().await {
            if let RunEvent::Recorded(entry) = event
                && matches!(&entry.record, Record::Succeeded { step, .. } if Some(step) == pause_at)
            {
                pause.cancel();
            }
        }
    };
    tokio::join!(driving, watching).0
}

/// Pauses after a step, undoes everything, and names what is not as it was.
async fn traces(strategy: Strategy, step: &StepId) -> Vec<String> {
    let cluster = Cluster::build(ClusterSpec::small(Calico::default()), Clock::fixed()).await.unwrap();
    let plan = planned(&observed(&world_of(&cluster)).await, Intent { strategy, ..Intent::default() });
    let before = everything(&cluster);
    let directory = tempfile::tempdir().unwrap();
    let paused = drive(&cluster, &plan, directory.path(), Some(step)).await;
    assert!(matches!(paused, Outcome::Paused { .. }), "{step}: {paused:?}");
    let outcome = drive(&cluster, &plan, directory.path(), None).await;
    assert_eq!(outcome, Outcome::RolledBack, "{step}: {}", journal(directory.path()));
    // The namespace that Flannel had ends once its last pod has.
    tokio::time::sleep(Duration::from_mins(2)).await;
    let after = everything(&cluster);
    let names = before.keys().chain(after.keys());
    let mut unlike: Vec<String> = names
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| format!("after {step}: {name}: {:?} is now {:?}", before.get(name), after.get(name)))
        .collect();
    unlike.sort();
    unlike.dedup();
    unlike
}

#[tokio::test(start_paused = true)]
async fn every_step_up_to_the_first_node_leaves_no_trace() {
    let cluster = Cluster::build(ClusterSpec::small(Calico::default()), Clock::fixed()).await.unwrap();
    let plan = planned(&observed(&world_of(&cluster)).await, Intent::default());
    let last = plan.steps.iter().position(|s| s.id.as_str() == "worker-1/cordon").unwrap();
    for step in &plan.steps[..=last] {
        assert_eq!(Box::pin(traces(Strategy::Rolling, &step.id)).await, Vec::<String>::new());
    }
}
