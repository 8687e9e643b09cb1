//! `replank demo` as its users run it: a program with an exit status, data on stdout, the rest on
//! stderr.

use replank_simulator::observer::INVARIANTS;
use replank_tests::{manifests, skip};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The program, built by `cargo xtask test` beside this test.
fn replank() -> Command {
    let mut folder = std::env::current_exe().expect("a test knows its own path");
    folder.pop();
    folder.pop();
    Command::new(folder.join("replank"))
}

fn demo(arguments: &[&str]) -> Output {
    let paced = arguments.contains(&"--speed");
    let fast: &[&str] = if paced { &[] } else { &["--speed", "max"] };
    // The journal that an account names is kept: here it goes with its folder.
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut command = replank();
    command.env("TMPDIR", folder.path()).arg("demo").args(fast).args(arguments);
    command.output().expect("replank starts")
}

fn account(arguments: &[&str]) -> Value {
    let output = demo(&[&["-o", "json"], arguments].concat());
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?} ended with {}\n{out}\n{err}", output.status);
    serde_json::from_str(&out).expect("stdout holds one JSON document and nothing else")
}

fn refused(arguments: &[&str]) -> (i32, String) {
    let output = demo(arguments);
    assert!(output.stdout.is_empty(), "a refusal prints no data");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

const SMALL: [&str; 6] = ["--control-planes", "1", "--workers", "3", "--pods", "40"];

#[test]
fn every_node_is_replaced_under_both_strategies_and_nothing_is_left() {
    for strategy in ["rolling", "cutover"] {
        let told = account(&[&SMALL[..], &["--strategy", strategy]].concat());
        assert_eq!(told["result"], "succeeded", "{told:#}");
        assert_eq!(told["nodes"]["replaced"], 4);
        assert_eq!(told["cni"]["detected"]["kind"], "manifest");
        assert_eq!(told["network"]["from"], "192.168.0.0/16");
        assert_eq!(told["network"]["to"], "10.244.0.0/16");
        assert_eq!(told["leftovers"], serde_json::json!([]));
        assert_eq!(told["changedBystanders"], serde_json::json!([]));
        assert!(told["unenforcedPolicies"].as_array().is_some_and(|p| p.len() == 5), "{told:#}");
    }
}

#[test]
fn three_control_planes_are_replaced_one_after_the_other() {
    let told = account(&["--control-planes", "3", "--workers", "3", "--pods", "40"]);
    assert_eq!(told["result"], "succeeded", "{told:#}");
    assert_eq!(told["nodes"]["replaced"], 6);
    let steps: Vec<&str> =
        told["steps"].as_array().unwrap().iter().filter_map(|s| s["name"].as_str()).collect();
    let at = |name: &str| steps.iter().position(|s| *s == name).unwrap_or_else(|| panic!("no step {name}"));
    assert!(at("worker-3/delete-node") < at("control-plane-1/create"), "workers come first");
    assert!(at("control-plane-1/delete-node") < at("control-plane-2/create"), "one at a time");
}

/// What moving one more pod may cost, in figures that are the same on every machine. They stand a quarter above
/// what was seen: whoever comes near one has made something be done for each pod that was not before, or for
/// everything each time something changes.
const EACH_POD: [(&str, f64); 3] = [("total", 51.0), ("versions", 67.0), ("bytes", 146_000.0)];

#[test]
fn moving_another_pod_costs_no_more_than_it_did() {
    let told = |workers: u32| {
        let (pods, workers) = ((workers * 30).to_string(), workers.to_string());
        account(&["--control-planes", "1", "--workers", &workers, "--pods", &pods])
    };
    let (small, large) = (told(3), told(7));
    let number = |told: &Value, at: &str| told.pointer(at).and_then(Value::as_f64).expect("a number");
    let more = |at: &str| number(&large, at) - number(&small, at);
    let pods = more("/pods/moved");
    assert!(pods > 100.0, "{pods} more pods were moved");
    for (what, most) in EACH_POD {
        let each = more(&format!("/requests/{what}")) / pods;
        assert!(each <= most, "another pod costs {each:.1} {what}, {most} at most");
        assert!(
            each > most / 2.0,
            "another pod costs {each:.1} {what} only: the guard at {most} guards nothing"
        );
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let told = |seed: &str, speed: &str| {
        let mut told = account(&[&SMALL[..], &["--seed", seed, "--speed", speed]].concat());
        told.as_object_mut().unwrap().retain(|key, _| key != "wallSeconds" && key != "journal");
        told
    };
    let seven = told("7", "max");
    assert_eq!(seven, told("7", "max"));
    assert_eq!(seven, told("7", "200"), "the speed changes nothing of the story");
    let eight = told("8", "max");
    assert_eq!(eight, told("8", "max"));
    assert_ne!(seven["nodes"], eight["nodes"], "another seed is another cluster");
}

#[test]
fn upstreams_own_manifests_are_migrated_under_both_strategies() {
    let Some(folder) = manifests() else {
        skip(
            "upstreams_own_manifests_are_migrated_under_both_strategies",
            "no folder with upstream's manifests (REPLANK_MANIFESTS)",
        );
        return;
    };
    let sets: [(&[&str], &str); 4] = [
        (&["calico-v3.27.2.yaml"], "manifest"),
        (&["calico-v3.30.3.yaml"], "manifest"),
        (&["calico-v3.30.3.yaml", "calico-apiserver-v3.30.3.yaml"], "manifest"),
        (
            &[
                "operator-crds-v3.30.3.yaml",
                "tigera-operator-v3.30.3.yaml",
                "operator-custom-resources-v3.30.3.yaml",
            ],
            "operator",
        ),
    ];
    for (files, kind) in sets {
        let paths: Vec<PathBuf> = files.iter().map(|file| folder.join(file)).collect();
        for strategy in ["rolling", "cutover"] {
            let mut arguments = SMALL.to_vec();
            arguments.extend(["--strategy", strategy]);
            for path in &paths {
                arguments.extend(["--cni-manifest", path.to_str().unwrap()]);
            }
            let told = account(&arguments);
            assert_eq!(told["result"], "succeeded", "{files:?} {strategy}: {told:#}");
            assert_eq!(told["cni"]["detected"]["kind"], kind);
            assert_eq!(told["leftovers"], serde_json::json!([]), "{files:?} {strategy}");
            assert_eq!(told["changedBystanders"], serde_json::json!([]), "{files:?} {strategy}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_a_sentence_and_a_status() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (status, said) = refused(&["--cni-manifest", &file("broken.yaml", "a: b: c")]);
    assert_eq!(status, 2);
    assert!(said.contains("broken.yaml is not YAML"), "{said}");
    let (status, said) = refused(&["--cni-manifest", &file("values.yaml", "replicas: 3")]);
    assert_eq!(status, 2);
    assert!(said.contains("no Kubernetes object") && said.contains("kubectl apply"), "{said}");
    // What kubectl would not know either, and what gives the cluster no network.
    for (name, text, why) in [
        ("strange.yaml", "apiVersion: example.org/v1\nkind: Sail\nmetadata: {name: a}\n", "Sail"),
        ("idle.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", "in vain"),
    ] {
        let (status, said) = refused(&[&SMALL[..], &["--cni-manifest", &file(name, text)]].concat());
        assert_eq!(status, 2, "{said}");
        assert!(said.contains(why) && said.contains("--cni-manifest"), "{said}");
    }
    let (status, said) = refused(&["--backend", "carrier-pigeon"]);
    assert_eq!(status, 2);
    assert!(said.contains("vxlan"), "{said}");
    for (range, code) in [
        ("192.168.64.0/18", "ranges-overlap"),
        ("10.96.0.0/16", "ranges-overlap"),
        ("10.240.0.0/23", "range-too-small"),
    ] {
        let (status, said) = refused(&[&SMALL[..], &["--pod-cidr", range]].concat());
        assert_eq!(status, 3, "{range}: {said}");
        assert!(said.contains(code), "{range}: {said}");
    }
    let (status, said) = refused(&["--workers", "2", "--pods", "300"]);
    assert_eq!(status, 2);
    assert!(said.contains("--workers 4 or --pods 180"), "{said}");
    let (status, said) = refused(&["--cni-manifest", "/nowhere/calico.yaml"]);
    assert_eq!(status, 2);
    assert!(said.contains("/nowhere/calico.yaml could not be read"), "{said}");
    let (status, said) = refused(&["--fault", "rain"]);
    assert_eq!(status, 2);
    assert!(said.contains("--fault list"), "{said}");
    let (status, said) = refused(&["--without-guard", "pbd"]);
    assert_eq!(status, 2);
    assert!(said.contains("ready-nodes"), "{said}");
    // The hosts' own network.
    let (status, said) = refused(&[&SMALL[..], &["--pod-cidr", "10.200.0.0/16"]].concat());
    assert_eq!(status, 3, "{said}");
    assert!(said.contains("ranges-overlap"), "{said}");
    // What can't be meant on any cluster is no finding about this one.
    let (status, said) = refused(&[&SMALL[..], &["--pod-cidr", "10.50.0.0/16,10.50.0.0/17"]].concat());
    assert_eq!(status, 2);
    assert!(said.contains("there is an IPv4 range already"), "{said}");
}

#[test]
fn every_guard_that_is_taken_away_is_seen_broken() {
    for guard in INVARIANTS {
        let size = ["--control-planes", "3", "--workers", "2", "--pods", "30"];
        let output = demo(&[&size[..], &["-o", "json", "--without-guard", guard]].concat());
        assert_eq!(output.status.code(), Some(1), "{guard}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let violations = told["invariantViolations"].as_array().unwrap();
        let named = |v: &Value| v.as_str().is_some_and(|v| v.starts_with(guard));
        assert!(violations.iter().any(named), "{guard}: {violations:#?}");
    }
}

#[test]
fn a_removal_that_is_skipped_is_named_as_a_leftover() {
    let output = demo(&[&SMALL[..], &["-o", "json", "--without-guard", "removal"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["leftovers"].as_array().is_some_and(|left| !left.is_empty()), "{told:#}");
}

#[test]
fn faults_that_pass_end_in_success_and_others_in_a_pause_with_a_reason() {
    for fault in [
        "too-many-requests",
        "internal-error",
        "unavailable",
        "conflict",
        "dropped-connection",
        "lost-response",
        "watch-ends",
    ] {
        let told = account(&[&SMALL[..], &["--fault", fault]].concat());
        assert_eq!(told["result"], "succeeded", "{fault}: {told:#}");
    }
    let output = demo(&[&SMALL[..], &["-o", "json", "--fault", "snapshot-fails"]].concat());
    assert_eq!(output.status.code(), Some(4));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["reason"].as_str().is_some_and(|reason| reason.contains("snapshot")), "{told:#}");
}
