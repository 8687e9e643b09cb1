//! `replank demo --serve`: the cluster after its story, for kubectl.

use crate::support::program::{eventually, path_of};
use crate::support::{Kubectl, Program};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long the story may take, on a machine that is busy with other tests.
const TOLD: Duration = Duration::from_secs(120);

const KIOSK: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: kiosk}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: tea, namespace: kiosk}
spec:
  replicas: 2
  selector: {matchLabels: {app: tea}}
  template:
    metadata: {labels: {app: tea}}
    spec:
      containers: [{name: main, image: "example/tea:1"}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: tea, namespace: kiosk}
spec: {minAvailable: 1, selector: {matchLabels: {app: tea}}}
"#;

/// A demo whose story is told, and the kubeconfig that it prints.
fn served(folder: &Path) -> (Program, PathBuf) {
    let mut command = Command::new(path_of("replank"));
    command.env("TMPDIR", folder).args(["demo", "--control-planes", "1", "--workers", "2", "--pods", "12"]);
    command.args(["--speed", "max", "--serve", "127.0.0.1:0"]);
    let mut demo = Program::start(command, folder, "demo");
    let kubeconfig = eventually("the demo serves its cluster", TOLD, || {
        assert!(!demo.has_ended(), "the demo ended: {}", demo.err());
        printed_path(&demo.err())
    });
    (demo, kubeconfig)
}

/// The path in the line for people to copy, once it is there whole.
fn printed_path(said: &str) -> Option<PathBuf> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("kubectl --kubeconfig "))?;
    line.strip_suffix(" get nodes").map(PathBuf::from)
}

#[test]
fn the_demos_cluster_stays_up_for_kubectl_until_the_demo_is_ended() {
    let Some(kubectl) = Kubectl::for_test("the_demos_cluster_stays_up_for_kubectl_until_the_demo_is_ended")
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (mut demo, kubeconfig) = served(folder.path());
    assert!(demo.out().contains("result      succeeded"), "{}", demo.out());
    let kubectl = kubectl.with(&kubeconfig);
    looking(&kubectl);
    working(&kubectl);
    draining(&kubectl);
    demo.signal(Signal::TERM);
    demo.ends_within(Duration::from_secs(20)).with(0);
    assert!(!kubeconfig.exists(), "{} outlives the cluster", kubeconfig.display());
}

/// The nodes are those that the story ends with.
fn looking(kubectl: &Kubectl) {
    let nodes = kubectl.says("get nodes --no-headers -L replank.dev/network");
    assert_eq!(nodes.lines().count(), 3, "{nodes}");
    for node in nodes.lines() {
        assert!(node.contains(" Ready ") && node.trim_end().ends_with("flannel"), "{nodes}");
    }
    let flannel = kubectl.says("get daemonset -A --no-headers");
    assert!(flannel.contains("flannel") && !flannel.contains("calico"), "{flannel}");
}

/// Its controllers, scheduler and kubelets go on.
fn working(kubectl: &Kubectl) {
    let made = kubectl.says_with("apply -f -", KIOSK);
    assert!(made.contains("deployment.apps/tea created"), "{made}");
    kubectl.says("rollout status deployment/tea -n kiosk --timeout=80s");
    let addresses = kubectl.says("get pods -n kiosk -o jsonpath={.items[*].status.podIP}");
    assert!(addresses.split(' ').all(|address| address.starts_with("10.244.")), "{addresses}");
}

/// Budgets are asked, and what was evicted runs elsewhere.
fn draining(kubectl: &Kubectl) {
    let node = kubectl.says("get pods -n kiosk -o jsonpath={.items[0].spec.nodeName}");
    let drained = kubectl
        .says(&format!("drain {node} --ignore-daemonsets --delete-emptydir-data --force --timeout=85s"));
    assert!(drained.contains(&format!("node/{node} drained")), "{drained}");
    let there = kubectl.says("get pods -n kiosk -o jsonpath={.items[*].spec.nodeName}");
    assert!(!there.split(' ').any(|other| other == node), "{there}");
    kubectl.says("rollout status deployment/tea -n kiosk --timeout=80s");
    kubectl.says(&format!("uncordon {node}"));
}
