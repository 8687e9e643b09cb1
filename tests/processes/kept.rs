//! What stays of a demo: its account's journal, and what `--record` keeps.

use crate::support::program::path_of;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

const SMALL: [&str; 8] = ["--control-planes", "1", "--workers", "1", "--pods", "8", "--speed", "max"];

/// A demo whose temporary files go with the folder.
fn demo(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(path_of("replank"));
    command.env("TMPDIR", folder).arg("demo").args(SMALL).args(arguments);
    command.output().expect("replank starts")
}

fn account(folder: &Path, arguments: &[&str]) -> Value {
    let output = demo(folder, &[&["-o", "json"], arguments].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} ended with {}\n{said}", output.status);
    serde_json::from_slice(&output.stdout).expect("stdout holds one JSON document and nothing else")
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn the_account_has_every_field_and_names_a_journal_that_is_there() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let told = account(folder.path(), &[]);

    let fields = "apiVersion kind result seed strategy cni network nodes pods evictions consents unenforcedPolicies \
                  leftovers changedBystanders invariantViolations steps waits requests virtualSeconds wallSeconds \
                  journal";
    assert_eq!(keys(&told), fields.split_whitespace().collect());
    assert_eq!(
        keys(&told["cni"]["detected"]),
        BTreeSet::from(["datastore", "encapsulation", "kind", "version"])
    );
    assert_eq!(keys(&told["network"]), BTreeSet::from(["from", "to"]));
    assert_eq!(keys(&told["nodes"]), BTreeSet::from(["items", "replaced", "total"]));
    assert_eq!(keys(&told["evictions"]), BTreeSet::from(["blocked", "requested"]));
    for item in told["nodes"]["items"].as_array().expect("a list") {
        assert_eq!(keys(item), BTreeSet::from(["new", "old"]));
        assert_eq!(keys(&item["new"]), BTreeSet::from(["machine", "name", "podCIDR", "uid"]));
    }
    for step in told["steps"].as_array().expect("a list") {
        assert_eq!(keys(step), BTreeSet::from(["duration", "name", "node", "start"]));
        assert!(step["duration"].is_f64(), "{step}");
    }
    let journal =
        std::fs::read_to_string(told["journal"].as_str().expect("a path")).expect("the journal is kept");
    let last = journal.lines().last().expect("it holds records");
    assert!(last.contains("finished"), "{last}");
}

#[test]
fn a_record_holds_the_run_every_request_and_what_there_was() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let record = folder.path().join("record");
    let told = account(folder.path(), &["--record", record.to_str().expect("a plain path")]);

    assert_eq!(told["journal"], *record.join("run/journal.ndjson").to_str().expect("a plain path"));
    let read =
        |name: &str| std::fs::read_to_string(record.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let plan: Value = serde_json::from_str(&read("run/plan.json")).expect("the plan is JSON");
    assert!(plan["steps"].is_array());
    for name in ["before-network.json", "before-run.json", "after.json"] {
        let inventory: Value = serde_json::from_str(&read(name)).expect("an inventory is JSON");
        assert!(keys(&inventory).len() > 20, "{name}");
    }
    let requests: Vec<Value> = read("requests.ndjson")
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    assert_eq!(requests.len() as u64, told["requests"]["total"].as_u64().expect("a number"));
    for field in ["time", "client", "verb", "url", "status"] {
        assert!(requests.iter().all(|request| !request[field].is_null()), "{field}");
    }
}

#[test]
fn a_record_of_an_earlier_demo_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let record = ["--record", folder.path().to_str().expect("a plain path")];
    account(folder.path(), &record);
    let journal = folder.path().join("run/journal.ndjson");
    let before = std::fs::read(&journal).expect("the journal is kept");

    let again = demo(folder.path(), &record);

    assert_eq!(again.status.code(), Some(2));
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("holds the run of an earlier demo"), "{said}");
    assert_eq!(std::fs::read(&journal).expect("the journal is kept"), before);
}

#[test]
fn faults_and_guards_are_listed_by_name() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for (flag, name) in [("--fault", "lost-response"), ("--without-guard", "etcd-quorum")] {
        let output = demo(folder.path(), &[flag, "list"]);
        assert!(output.status.success());
        let listed = String::from_utf8_lossy(&output.stdout);
        assert!(listed.lines().any(|line| line.split_whitespace().next() == Some(name)), "{listed}");
    }
}
