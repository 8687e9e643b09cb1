//! The way back before the first node: as if nothing had been.

use crate::operator::Operator;
use crate::stage::{Stage, WORKLOADS};
use crate::whole::Whole;
use replank_lab::cluster::{Cni, Install, Shape};
use replank_planning::intent::Strategy;
use std::time::{Duration, Instant};

const MANIFESTS: &str = "root/etc/kubernetes/manifests";
/// How long the way back may take.
const BACK: Duration = Duration::from_secs(300);

fn manifests(stage: &Stage) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let folder = stage.cluster.lab().place().machine("cp1").join(MANIFESTS);
    let files = std::fs::read_dir(folder).expect("kubeadm wrote manifests").flatten();
    let mut all: Vec<_> =
        files.map(|f| (f.file_name(), std::fs::read(f.path()).expect("it can be read"))).collect();
    all.sort();
    all
}

/// What a run leaves behind for others to see: its status, and its lock.
fn own(key: &crate::whole::Key) -> bool {
    key.kind == "ConfigMap" && key.name.starts_with("replank")
}

const SHAPE: Shape = Shape { control_planes: 1, workers: 1, cni: Cni::Calico(Install::Manifest) };

#[test]
fn everything_up_to_the_first_node_is_undone_under_rolling() {
    undone(&Stage::with("undo-rolling", SHAPE), Strategy::Rolling, "w1/snapshot");
}

/// On upstream's own objects: only the images behind their names are the stand-in's.
#[test]
fn everything_up_to_the_first_node_is_undone_under_cutover() {
    let Some(folder) = replank_tests::manifests() else {
        replank_tests::skip(
            "everything_up_to_the_first_node_is_undone_under_cutover: with upstream's manifest",
            "no folder with upstream's manifests (REPLANK_MANIFESTS); the lab's own was taken instead",
        );
        return undone(&Stage::with("undo-cutover", SHAPE), Strategy::Cutover, "swap-cni/w1");
    };
    let upstream = std::fs::read_to_string(folder.join("calico-v3.30.3.yaml")).expect("it can be read");
    let stage = Stage::with_manifest("undo-cutover", SHAPE, &upstream);
    undone(&stage, Strategy::Cutover, "swap-cni/w1");
}

/// Kills a run at its first step that touches a node, and goes back.
fn undone(stage: &Stage, strategy: Strategy, until: &str) {
    stage.furnish(WORKLOADS);
    let operator = Operator::new(stage, strategy).planned();
    let (before, files) = (Whole::of(&stage.cluster), manifests(stage));
    let mut run = operator.apply();
    let end = Instant::now() + BACK;
    // The last step before the first node is touched.
    while !operator.journal().contains(&format!("\"{until}\"")) {
        assert!(!run.has_ended() && Instant::now() < end, "{}", run.err());
        std::thread::sleep(Duration::from_millis(20));
    }
    run.kill();
    assert_ne!(manifests(stage), files, "something was done");

    operator.rolls_back(BACK).with(0);

    stage.cluster.settled(2).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(manifests(stage), files, "{strategy:?}: the manifests, byte for byte");
    let mut difference = before.until(&Whole::of(&stage.cluster));
    difference.added.retain(|key| !own(key));
    assert!(difference.is_empty(), "{strategy:?}: {difference:#?}");
}
