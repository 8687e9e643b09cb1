//! The commands as an operator types them, one after the other, on a cluster that stays.

use crate::support::operator::WHOLE;
use crate::support::program::{Ended, eventually};
use crate::support::{Operator, SMALL, Simulator};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;

/// A command on the operator's cluster.
fn on<'a>(operator: &Operator<'_>, line: &[&'a str]) -> Vec<String> {
    let mut line: Vec<String> = line.iter().map(|&word: &&'a str| word.to_owned()).collect();
    line.extend(["--kubeconfig".into(), operator.kubeconfig()]);
    line
}

fn run(operator: &Operator<'_>, line: &[&str]) -> Ended {
    operator.run(&on(operator, line))
}

#[track_caller]
fn document(operator: &Operator<'_>, line: &[&str], status: i32) -> Value {
    let ended = run(operator, &[line, &["-o", "json"]].concat()).with(status);
    serde_json::from_str(&ended.out)
        .unwrap_or_else(|e| panic!("stdout is no JSON document: {e}\n{}", ended.out))
}

fn machines(simulator: &Simulator) -> usize {
    simulator.get("/machines/v1/machines")["items"].as_array().map_or(0, Vec::len)
}

#[test]
fn check_plan_apply_status_finalize_and_the_same_apply_again() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator);
    let found = document(&operator, &["check", "--provider", "simulator"], 3);
    assert_eq!(found["kind"], "Findings");
    for finding in found["findings"].as_array().expect("there are findings") {
        for key in ["code", "severity", "object", "message", "fix"] {
            assert!(finding[key].as_str().is_some_and(|text| !text.is_empty()), "{key} in {finding}");
        }
    }
    operator.plans(&[]).with(3);
    assert!(!operator.plan().exists(), "a blocked plan is not written");
    let consents = operator.consents();
    let accepted: Vec<&str> = consents.iter().flat_map(|c| ["--accept", c.as_str()]).collect();
    document(&operator, &[&["check", "--provider", "simulator"], &accepted[..]].concat(), 0);
    let told = operator.plans(&consents).with(0);
    assert!(told.out.lines().all(|line| line.chars().count() <= 80), "{}", told.out);

    let plan = operator.plan().display().to_string();
    let run_dir = operator.run_dir().display().to_string();
    // Nobody can be asked, and nobody said yes.
    run(&operator, &["apply", &plan, "--run-dir", &run_dir]).with(2);
    assert_eq!(operator.journal_text(), "");

    let events = operator.applies().with(0);
    let documents: Vec<Value> =
        events.out.lines().map(|line| serde_json::from_str(line).expect("each line is a document")).collect();
    let account = documents.last().expect("there is an account");
    assert_eq!((&account["kind"], &account["result"]), (&json!("RunAccount"), &json!("succeeded")));
    assert_eq!(account["nodes"], json!({"total": 3, "replaced": 3}));
    for line in [&["status", "--run-dir", &run_dir][..], &["status"]] {
        let status = document(&operator, line, 0);
        assert_eq!((&status["state"], &status["nodes"]["replaced"]), (&json!("finished"), &json!(3)));
    }
    let before = operator.journal_text();
    operator.applies().with(0);
    assert_eq!(operator.journal_text(), before, "a finished run is not touched");

    // The cluster knows how far this run came: it does not begin anew without its journal.
    let other = operator.file("other").display().to_string();
    let begun = run(&operator, &["apply", &plan, "--run-dir", &other, "--yes"]).with(1);
    begun.says("older than what was done");

    assert_eq!(machines(&simulator), 6, "the old machines are kept");
    let shown = run(&operator, &["finalize", "--run-dir", &run_dir]).with(2);
    shown.says("gives up the way back").says("(was worker-1)").says("give --yes");
    assert_eq!(machines(&simulator), 6, "it was only shown");
    run(&operator, &["finalize", "--run-dir", &run_dir, "--yes"]).with(0);
    assert_eq!(machines(&simulator), 3);
    assert_eq!(operator.status()["state"], "finalized");
    simulator.stop();
}

#[test]
fn a_run_is_paused_from_elsewhere_and_goes_on_from_elsewhere() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let elsewhere = Operator::new(&simulator);
    run(&elsewhere, &["pause"]).with(1).says("no run");
    let mut applying = operator.apply();
    eventually("the run begins", Duration::from_secs(60), || {
        assert!(!applying.has_ended(), "{}", applying.err());
        (operator.lines() > 5).then_some(())
    });
    run(&elsewhere, &["pause"]).with(0).says("pauses at its next safe point");
    let status = eventually("the run pauses", Duration::from_secs(60), || {
        let status = document(&elsewhere, &["status"], 0);
        (status["state"] == "paused").then_some(status)
    });
    assert!(status["reason"].as_str().is_some_and(|why| why.contains("mirror")), "{status}");
    assert!(!applying.has_ended(), "its process waits for the word to go on");
    let lines = operator.lines();
    run(&elsewhere, &["resume"]).with(0).says("goes on");
    applying.ends_within(WHOLE).with(0);
    assert!(operator.lines() > lines);
    run(&elsewhere, &["resume"]).with(0).says("is not paused");
    simulator.stop();
}

#[test]
fn a_signal_pauses_at_a_safe_point_and_a_second_one_says_what_is_half_done() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let mut applying = operator.apply();
    let began = |operator: &Operator<'_>, lines: usize| (operator.lines() > lines).then_some(());
    eventually("the run begins", Duration::from_secs(60), || began(&operator, 3));
    applying.signal(Signal::TERM);
    let paused = applying.ends_within(Duration::from_secs(60)).with(4).says("pausing at the next safe point");
    let account: Value =
        serde_json::from_str(paused.out.lines().last().unwrap_or_default()).expect("an account");
    assert_eq!(account["result"], "paused");
    assert!(account["next"].as_str().is_some_and(|next| next.starts_with("replank apply ")), "{account}");

    // A machine that is long in the making shows what a second signal leaves half done.
    simulator.raise("machine-api-slow");
    let mut applying = operator.apply();
    eventually("a machine is asked for", WHOLE, || operator.journal_text().contains("/create").then_some(()));
    applying.signal(Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    applying.signal(Signal::INT);
    let stopped = applying.ends_within(Duration::from_secs(60)).with(1);
    stopped.says("half done");
    simulator.lift("machine-api-slow");
    operator.applies().with(0);
    simulator.stop();
}

#[test]
fn a_killed_run_is_seen_as_one_and_only_orphans_are_taken_away() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let gc = ["provider", "gc", "--provider", "simulator"];
    let mut applying = operator.apply();
    eventually("there is a new machine", WHOLE, || {
        operator.journal_text().contains("\"fact\":\"machine\"").then_some(())
    });
    applying.kill();
    let run_dir = operator.run_dir().display().to_string();
    assert_eq!(operator.status()["state"], "interrupted");
    // Its run may go on: what it made stays, for whoever has its directory and for everybody else.
    let mine = [&gc[..], &["--run-dir", &run_dir]].concat();
    for line in [&gc[..], &mine] {
        let shown = document(&operator, &[line, &["--delete", "--yes"]].concat(), 0);
        assert_eq!(shown["deleted"], json!([]), "{shown}");
    }
    let left = document(&operator, &gc, 0)["orphans"].as_array().map_or(0, Vec::len);
    assert!(left >= 1, "a snapshot at least");
    operator.applies().with(0);
    // Whoever says that the directory is lost has everything taken that the run made and no Node needs; the
    // old machines were there before it.
    let run_id = document(&operator, &["status"], 0)["run"].as_str().unwrap_or_default().to_owned();
    let lost = [&gc[..], &["--lost-run", &run_id]].concat();
    let snapshots = || simulator.get("/machines/v1/snapshots")["items"].as_array().map_or(0, Vec::len);
    assert!(run(&operator, &lost).with(0).out.contains("nobody remembers it"));
    assert_eq!((machines(&simulator), snapshots()), (6, 3), "it was only shown");
    document(&operator, &[&lost[..], &["--delete", "--yes"]].concat(), 0);
    assert_eq!((machines(&simulator), snapshots()), (6, 0));
    assert_eq!(document(&operator, &gc, 0)["orphans"], json!([]));
    simulator.stop();
}

#[test]
fn a_configuration_made_for_the_cluster_plans_it() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator);
    let made = run(&operator, &["config", "init", "--provider", "simulator"]).with(0);
    let file = operator.file("migration.yaml");
    std::fs::write(&file, &made.out).expect("the folder is writable");
    let file = file.display().to_string();
    run(&operator, &["check", "--config", &file]).with(3);
    let taken = made.out.replace("# accept:", "accept:").replace("# - {", "- {").replace("#: ", "");
    std::fs::write(&file, taken).expect("the folder is writable");
    run(&operator, &["check", "--config", &file]).with(0);
    run(&operator, &["plan", "--config", &file]).with(0);
    run(&operator, &["plan", "--config", &file, "--pod-cidr", "10.96.0.0/16"]).with(3);
    std::fs::write(&file, made.out.replace("maxSurge: 1", "maxSurge: none")).expect("the folder is writable");
    let refused = run(&operator, &["plan", "--config", &file]).with(2);
    assert!(refused.err.contains("migration.yaml:") && refused.err.contains("maxSurge"), "{}", refused.err);
    simulator.stop();
}
