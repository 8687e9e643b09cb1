//! The two claims that the order of a migration rests on, made true by real parts.

use crate::stage::{Stage, WORKLOADS};
use replank_lab::cluster::{Cni, Install, Shape};
use replank_lab::lab::HostFile;
use serde_json::Value;
use std::time::{Duration, Instant};

const MANIFEST: &str = "/etc/kubernetes/manifests/kube-controller-manager.yaml";

/// Asks until there is an answer.
fn until<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what} did not come within {seconds} s");
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn shape() -> Shape {
    Shape { control_planes: 1, workers: 1, cni: Cni::Calico(Install::Manifest) }
}

/// Calico removed first, then a drain: the plugin's DEL is refused, and pods stay Terminating.
#[test]
fn the_naive_order_gets_stuck() {
    let stage = Stage::with("naive", shape());
    stage.furnish(WORKLOADS);
    let kubectl = |words: &[&str]| stage.cluster.kubectl(words, None).unwrap_or_else(|e| panic!("{e}"));
    kubectl(&["--namespace", "kube-system", "delete", "daemonset", "calico-node", "--wait"]);
    kubectl(&["--namespace", "kube-system", "delete", "serviceaccount", "calico-node", "calico-cni-plugin"]);
    kubectl(&["delete", "clusterrolebinding", "calico-node", "calico-cni-plugin"]);
    kubectl(&["cordon", "w1"]);
    kubectl(&["delete", "pod", "bare", "--wait=false"]);

    let event = until("the kubelet's complaint", 120, || {
        stage
            .list("events")
            .into_iter()
            .find(|event| event["reason"] == "FailedKillPod" && event["involvedObject"]["name"] == "bare")
    });
    let message = event["message"].as_str().unwrap_or_default();
    assert!(message.contains("failed (delete): error getting ClusterInformation"), "{message}");
    assert!(message.contains("connection is unauthorized"), "{message}");
    let pods = stage.list("pods");
    let bare = pods.iter().find(|p| p["metadata"]["name"] == "bare").expect("it is not gone");
    assert!(bare["metadata"]["deletionTimestamp"].is_string(), "it is Terminating");
}

/// `cluster-cidr` alone changed while an old Node holds an old range: the controller-manager ends.
#[test]
fn cluster_cidr_alone_crash_loops_the_controller_manager() {
    let stage = Stage::with("cidr", shape());
    let lab = stage.cluster.lab();
    let file = lab.host_read("cp1", MANIFEST).unwrap_or_else(|e| panic!("{e}")).expect("kubeadm wrote it");
    let text = String::from_utf8(file.content).expect("it is text");
    let changed = text.replace("--cluster-cidr=192.168.0.0/16", "--cluster-cidr=10.244.0.0/16");
    assert_ne!(changed, text);
    let file = HostFile { content: changed.into_bytes(), mode: file.mode };
    lab.host_write("cp1", MANIFEST, Some(&file)).unwrap_or_else(|e| panic!("{e}"));

    let ended = until("the controller-manager's second end", 180, || {
        let pods = stage.list("pods");
        let pod = pods.iter().find(|p| p["metadata"]["name"] == "kube-controller-manager-cp1")?;
        let with_flag = pod["spec"]["containers"][0]["command"].to_string().contains("10.244.0.0/16");
        let status: &Value = &pod["status"]["containerStatuses"][0];
        (with_flag && status["restartCount"].as_u64() > Some(0)).then(|| status.clone())
    });
    let code = ended["lastState"]["terminated"]["exitCode"].as_i64();
    assert_eq!(code, Some(1), "{ended}");
    let words = ["--namespace", "kube-system", "logs", "--previous", "kube-controller-manager-cp1"];
    let log = stage.cluster.kubectl(&words, None).unwrap_or_else(|e| panic!("{e}"));
    assert!(log.contains("is out the range of cluster cidr 10.244.0.0/16"), "{log}");
}
