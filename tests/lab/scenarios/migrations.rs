//! Whole migrations.

use crate::stage::{Stage, WORKLOADS, say};
use replank_execution::Outcome;
use replank_lab::cluster::{Cni, Install, Shape};
use replank_lab::machine::Power;
use replank_planning::intent::Strategy;
use serde_json::Value;
use std::collections::BTreeSet;

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn names(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(name).collect()
}

async fn migrated(test: &str, shape: Shape, strategy: Strategy) {
    let stage = Stage::with(test, shape);
    stage.furnish(WORKLOADS);
    let before = names(&stage.list("nodes"));
    let (_, outcome) = stage.migrate(strategy).await;
    assert!(matches!(outcome, Outcome::Finished), "{outcome:?}");

    let after = stage.list("nodes");
    assert_eq!(after.len(), before.len());
    assert!(names(&after).is_disjoint(&before), "every machine is replaced: {before:?} {:?}", names(&after));
    stage.cluster.settled(before.len()).unwrap_or_else(|error| panic!("{error}"));
    for pod in stage.list("pods") {
        if pod["spec"]["hostNetwork"] != true {
            let ip = pod["status"]["podIP"].as_str().unwrap_or_default();
            let node = after.iter().find(|n| n["metadata"]["name"] == pod["spec"]["nodeName"]);
            let range = node.and_then(|n| n["spec"]["podCIDR"].as_str()).unwrap_or_default();
            let range = range.trim_end_matches(".0/24");
            assert!(!range.is_empty() && ip.starts_with(&format!("{range}.")), "{} has {ip}", name(&pod));
        }
    }
    let left: Vec<String> = names(&stage.list("customresourcedefinitions"))
        .into_iter()
        .filter(|n| n.contains("calico"))
        .collect();
    assert!(left.is_empty(), "nothing of Calico is left: {left:?}");
    let lab = stage.cluster.lab();
    for machine in lab.machines().expect("machines can be listed") {
        let expected = if before.contains(&machine.name) { Power::Off } else { Power::On };
        let power = lab.power(&machine.name).expect("it is known");
        assert_eq!(power, expected, "{}: old machines are off and kept", machine.name);
    }
    say("every node is new, every pod is on the new network");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_control_plane_rolling() {
    let shape = Shape { control_planes: 1, workers: 2, cni: Cni::Calico(Install::Manifest) };
    migrated("rolling-1", shape, Strategy::Rolling).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_control_planes_cutover() {
    let shape = Shape { control_planes: 3, workers: 2, cni: Cni::Calico(Install::Manifest) };
    migrated("cutover-3", shape, Strategy::Cutover).await;
}
