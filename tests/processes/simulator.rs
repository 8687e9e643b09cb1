//! `replank-simulator` as whoever starts it meets it.

use crate::support::program::eventually;
use crate::support::simulator::Size;
use crate::support::{SMALL, Simulator};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

const TINY: Size = Size { control_planes: 1, workers: 1, pods: 0, ..SMALL };

#[test]
fn what_it_saw_is_kept_and_sigterm_ends_it_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let simulator = Simulator::start_with(TINY, &["--record", record.to_str().unwrap()]);
    let mode = std::fs::metadata(simulator.kubeconfig()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "the kubeconfig holds a key");
    assert_eq!(simulator.get("/api/v1/nodes")["items"].as_array().map(Vec::len), Some(2));
    simulator.post("/api/v1/namespaces", &serde_json::json!({"metadata": {"name": "made"}}));
    simulator.stop();
    let read =
        |name: &str| std::fs::read_to_string(record.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let document = |name: &str| serde_json::from_str::<Value>(&read(name)).unwrap();
    let namespace = "core/Namespace//made";
    assert!(document("before-run.json").get(namespace).is_none());
    assert!(document("after.json").get(namespace).is_some());
    assert!(document("before-network.json").as_object().is_some_and(|objects| !objects.is_empty()));
    assert_eq!(document("effects.json")["kind"], "Effects");
    assert_eq!(document("violations.json")["violations"], serde_json::json!([]));
    let requests = read("requests.ndjson");
    let made = |line: &str| {
        let request: Value = serde_json::from_str(line).expect("each line is a request");
        request["verb"] == "create" && request["resource"] == "namespaces" && request["client"] == "kubectl"
    };
    assert!(requests.lines().any(made), "{requests}");
}

#[test]
fn faults_come_and_go_while_it_runs_even_one_that_takes_the_api_server_away() {
    let simulator = Simulator::start(TINY);
    let raised = || simulator.faults()["raised"].as_array().map_or(0, Vec::len);
    simulator.raise("too-many-requests:client=kubectl:verb=list");
    assert!(simulator.refusal("GET", "/api/v1/nodes", &Value::Null).contains("too many requests"));
    simulator.lift("too-many-requests");
    simulator.raise("api-server-away");
    assert_eq!(raised(), 1);
    eventually("connections are refused", Duration::from_secs(10), || {
        simulator.refusal("GET", "/api/v1/nodes", &Value::Null).contains("refused").then_some(())
    });
    simulator.lift("api-server-away");
    assert_eq!(raised(), 0);
    eventually("it answers again", Duration::from_secs(10), || {
        simulator.answers("/api/v1/nodes").then_some(())
    });
    simulator.stop();
}

#[test]
fn strangers_may_neither_read_pods_nor_stop_machines() {
    let simulator = Simulator::start(TINY);
    let stranger = simulator.stranger();
    for (path, words) in [
        ("/api/v1/pods", "system:anonymous"),
        ("/machines/v1/machines", "no client certificate and no valid token"),
        ("/simulator/v1/faults", "no client certificate and no valid token"),
    ] {
        let refused = simulator.refusal_of(&stranger, path);
        assert!(refused.contains(words), "{path}: {refused}");
    }
    simulator.stop();
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--fault", "rain"][..], &["--speed", "0"], &["--control-planes", "9"]] {
        let refused = Command::new(crate::support::program::path_of("replank-simulator"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(refused.stdout.is_empty() && !refused.stderr.is_empty());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
