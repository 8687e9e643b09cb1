//! `replank provider check` against providers that are programs of their own: ours over the
//! simulator, the example in Python, and a broken copy of that.

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// How many seconds one check may take.
const LIMIT: &str = "240";

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/providers/python/replank-provider-directory")
}

fn check(provider: &str, config: &Path, more: &[&str]) -> Output {
    Command::new("timeout")
        .arg(LIMIT)
        .arg(cargo_bin("replank"))
        .args(["provider", "check", provider, "-o", "json", "--patience", "30", "--config"])
        .arg(config)
        .args(more)
        .output()
        .expect("replank can be started")
}

/// The account; what went to standard error is shown if there is none.
fn account(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The cases that ended so, with their reasons.
fn with<'a>(account: &'a Value, result: &str) -> Vec<(&'a str, &'a str)> {
    let cases = account["cases"].as_array().expect("there are cases");
    let text = |case: &'a Value, key: &str| case[key].as_str().expect("a text");
    cases.iter().filter(|c| c["result"] == result).map(|c| (text(c, "name"), text(c, "reason"))).collect()
}

/// A directory provider's root, whose machines are ended with it.
struct Directory {
    folder: TempDir,
}

impl Directory {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let config = format!("provider:\n  settings:\n    root: {}\n", folder.path().join("root").display());
        fs::write(folder.path().join("check.yaml"), config).expect("it can be written");
        Self { folder }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("check.yaml")
    }

    /// The ids of the machines whose directories there are.
    fn machines(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join("root/machines")).expect("it has machines");
        let names = entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
        names.collect()
    }

    /// The processes of its machines, by their argument lists.
    fn processes(&self) -> Vec<u32> {
        let root = self.folder.path().display().to_string();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ours = processes.filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let arguments = fs::read(process.path().join("cmdline")).ok()?;
            String::from_utf8_lossy(&arguments).contains(&root).then_some(pid)
        });
        ours.collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

#[test]
fn the_python_example_keeps_every_rule() {
    let directory = Directory::new();
    let output = check(example().to_str().unwrap(), &directory.config(), &["--destructive"]);
    let account = account(&output);
    assert_eq!(with(&account, "failed"), [], "{account:#}");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        (account["apiVersion"].as_str(), account["kind"].as_str()),
        (Some("replank.dev/v1alpha1"), Some("ProviderCheck"))
    );
    assert!(account["summary"]["passed"].as_u64() > Some(80), "{account:#}");
    for (name, reason) in with(&account, "skipped") {
        assert!(reason.starts_with("capability "), "{name}: {reason}");
    }
    assert_eq!(directory.machines(), ["m-base"], "only what was there before is there now");
    assert_eq!(directory.processes(), [0; 0], "no machine's process is left");
}

#[test]
fn without_the_word_nothing_is_made() {
    let directory = Directory::new();
    let output = check(example().to_str().unwrap(), &directory.config(), &[]);
    let account = account(&output);
    assert_eq!(output.status.code(), Some(0), "{account:#}");
    assert_eq!(directory.machines(), ["m-base"]);
    let state =
        fs::read_to_string(directory.folder.path().join("root/state.json")).expect("there is a state");
    let state: Value = serde_json::from_str(&state).expect("it is JSON");
    assert_eq!(state["operations"], serde_json::json!({}), "no operation came through");
}

/// A copy of the example with one thing broken.
fn broken(folder: &Path, sound: &str, fault: &str) -> PathBuf {
    let text = fs::read_to_string(example()).expect("the example can be read");
    assert_eq!(text.matches(sound).count(), 1, "the example has changed: {sound}");
    let path = folder.join("replank-provider-broken");
    fs::write(&path, text.replace(sound, fault)).expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
    path
}

fn caught(sound: &str, fault: &str, group: &str) -> Vec<(String, String)> {
    let directory = Directory::new();
    let path = broken(directory.folder.path(), sound, fault);
    let output = check(path.to_str().unwrap(), &directory.config(), &["--destructive", "--case", group]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let account = account(&output);
    with(&account, "failed").into_iter().map(|(n, r)| (n.to_owned(), r.to_owned())).collect()
}

#[test]
fn a_provider_that_makes_a_second_machine_is_caught() {
    let failed = caught(
        "done = self.operations.get(params[\"operation\"])",
        "done = None; params[\"operation\"] += str(time.monotonic_ns())",
        "create/",
    );
    let twice = failed.iter().find(|(name, _)| name == "create/twice_makes_one_machine");
    let (_, reason) = twice.unwrap_or_else(|| panic!("{failed:?}"));
    assert!(reason.contains("the same machine is told once as"), "{reason}");
    assert!(failed.iter().any(|(name, _)| name == "create/again_with_another_name_is_refused"), "{failed:?}");
}

#[test]
fn a_provider_that_forgets_epochs_is_caught() {
    let failed = caught("self.epochs[cluster] = epoch", "pass", "epochs/");
    let names: Vec<_> = failed.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"epochs/an_older_one_can_not_create"), "{names:?}");
    assert!(names.contains(&"epochs/another_process_knows_it_too"), "{names:?}");
}

#[test]
fn a_provider_whose_pending_never_ends_is_caught() {
    let directory = Directory::new();
    let path = broken(directory.folder.path(), "elif not switch_off(folder, signal.SIGTERM):", "else:");
    let more = ["--destructive", "--case", "power/stop_ends_stopped", "--patience", "1"];
    let mut command = Command::new("timeout");
    command.arg(LIMIT).arg(cargo_bin("replank")).args(["provider", "check", path.to_str().unwrap()]);
    command.args(["-o", "json", "--config"]).arg(directory.config()).args(more);
    let output = command.output().expect("replank can be started");
    let account = account(&output);
    assert_eq!(output.status.code(), Some(1), "{account:#}");
    let failed = with(&account, "failed");
    assert_eq!(failed[0].0, "power/stop_ends_stopped");
    assert!(failed[0].1.contains("was not done within"), "{failed:?}");
    assert!(failed[0].1.contains("is being switched off"), "what it said is told: {failed:?}");
}

/// The simulator as a program, ended with this.
struct Simulator {
    child: Child,
    folder: TempDir,
}

impl Simulator {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let kubeconfig = folder.path().join("kubeconfig");
        let mut child = Command::new(cargo_bin("replank-simulator"))
            .args([
                "--control-planes",
                "1",
                "--workers",
                "1",
                "--pods",
                "2",
                "--speed",
                "200",
                "--kubeconfig",
            ])
            .arg(&kubeconfig)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator can be started");
        let stdout = child.stdout.take().expect("it has an output");
        let mut ready = String::new();
        BufReader::new(stdout).read_line(&mut ready).expect("it says that it is ready");
        assert!(ready.contains("SimulatorReady"), "{ready}");
        let config = format!("provider:\n  settings:\n    kubeconfig: {}\n", kubeconfig.display());
        fs::write(folder.path().join("check.yaml"), config).expect("it can be written");
        Self { child, folder }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_simulators_provider_keeps_every_rule_over_stdio() {
    let simulator = Simulator::start();
    let provider = cargo_bin("replank-provider-simulator");
    let config = simulator.folder.path().join("check.yaml");
    let output = check(provider.to_str().unwrap(), &config, &["--destructive"]);
    let account = account(&output);
    assert_eq!(with(&account, "failed"), [], "{account:#}");
    assert_eq!(output.status.code(), Some(0));
    assert!(account["summary"]["passed"].as_u64() > Some(100), "{account:#}");
}

#[test]
fn a_provider_that_is_not_there_is_named() {
    let output = Command::new(cargo_bin("replank"))
        .args(["provider", "check", "no-such-cloud"])
        .output()
        .expect("replank can be started");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("replank-provider-no-such-cloud"));
}
