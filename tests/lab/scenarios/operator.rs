//! Someone at a machine of their own: `replank` as a program, with a configuration, a plan and a run.

use crate::program::{Ended, Program, path_of};
use crate::requests::{self, Requests};
use crate::stage::Stage;
use replank_planning::intent::Strategy;
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long a command that only asks may take on a busy machine.
const SHORT: Duration = Duration::from_secs(120);

/// Who it is to the cluster.
const WHO: &str = "serviceaccount:replank-test/operator";
/// The same, as the API server names it.
pub(crate) const USER: &str = "system:serviceaccount:replank-test:operator";
const ACCOUNT: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: replank-test}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: operator, namespace: replank-test}
";

pub(crate) struct Operator<'s> {
    stage: &'s Stage,
    home: tempfile::TempDir,
    kubeconfig: PathBuf,
    started: Cell<u32>,
}

impl<'s> Operator<'s> {
    /// The administrator, with this strategy in mind; the lab itself is the provider.
    pub(crate) fn new(stage: &'s Stage, strategy: Strategy) -> Self {
        let lab = json!({"name": "lab", "settings": {"lab": stage.cluster.lab().place().folder()}});
        Self::with_provider(stage, strategy, &lab)
    }

    /// The same, with a provider and its settings.
    pub(crate) fn with_provider(stage: &'s Stage, strategy: Strategy, provider: &Value) -> Self {
        let home = tempfile::tempdir().expect("there is room");
        let kubeconfig = stage.cluster.kubeconfig().to_owned();
        let new = Self { stage, home, kubeconfig, started: Cell::new(0) };
        let configuration = json!({
            "apiVersion": "replank.dev/v1alpha1", "kind": "Migration", "strategy": strategy,
            "nodes": {"canarySoakSeconds": 5},
            "provider": provider,
        });
        std::fs::write(new.file("migration.yaml"), configuration.to_string()).expect("there is room");
        new
    }

    /// An account that has the rights that `replank rbac` prints, and no other.
    pub(crate) fn restricted(mut self) -> Self {
        self.kubectl(&["apply", "-f", "-"], Some(ACCOUNT));
        self.given(&["rbac", "--for", WHO]);
        let token = ["--namespace", "replank-test", "create", "token", "operator", "--duration=3h"];
        let token = self.kubectl(&token, None);
        let text = std::fs::read_to_string(&self.kubeconfig).expect("the lab wrote it");
        let mut kubeconfig: Value = serde_saphyr::from_str(&text).expect("it is a kubeconfig");
        kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
        self.kubeconfig = self.file("kubeconfig");
        std::fs::write(&self.kubeconfig, kubeconfig.to_string()).expect("there is room");
        self
    }

    /// Gives the account the rights that the plan needs.
    pub(crate) fn provided(self) -> Self {
        self.given(&["rbac", &self.plan(), "--for", WHO]);
        self
    }

    fn given(&self, line: &[&str]) {
        let roles = self.replank(line).with(0).out;
        self.kubectl(&["apply", "-f", "-"], Some(&roles));
    }

    fn kubectl(&self, words: &[&str], input: Option<&str>) -> String {
        self.stage.cluster.kubectl(words, input).unwrap_or_else(|error| panic!("{error}"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The plan's path.
    pub(crate) fn plan(&self) -> String {
        self.file("plan.json").display().to_string()
    }

    /// The run's directory.
    pub(crate) fn run_dir(&self) -> String {
        self.file("run").display().to_string()
    }

    /// What was planned.
    pub(crate) fn planned_document(&self) -> Value {
        let text = std::fs::read(self.plan()).expect("the plan was written");
        serde_json::from_slice(&text).expect("a plan is JSON")
    }

    /// The run's journal, as it is now.
    pub(crate) fn journal(&self) -> String {
        std::fs::read_to_string(self.file("run/journal.ndjson")).unwrap_or_default()
    }

    /// Makes a plan, with every consent that it needs.
    pub(crate) fn planned(self) -> Self {
        let configuration = self.file("migration.yaml").display().to_string();
        let look = self.talk(&["check", "--config", &configuration, "--output", "json"]).ends_within(SHORT);
        assert!([0, 3].contains(&look.status), "{look:?}");
        let told: Value = serde_json::from_str(&look.out).expect("stdout is one JSON document");
        let findings = told["findings"].as_array().cloned().expect("there are findings");
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let consents = findings.iter().filter(|finding| finding["severity"] == "consent");
        let consents: Vec<String> =
            consents.map(|f| format!("--accept={}:{}", text(f, "code"), text(f, "object"))).collect();
        let plan = self.plan();
        let mut line = vec!["plan", "--config", &configuration, "--out", &plan];
        line.extend(consents.iter().map(String::as_str));
        let told = self.talk(&line).ends_within(SHORT).with(0).out;
        std::fs::write(self.file("plan.txt"), told).expect("there is room");
        self
    }

    /// The plan as it was told to a person.
    pub(crate) fn planned_text(&self) -> String {
        std::fs::read_to_string(self.file("plan.txt")).expect("the plan was told")
    }

    /// Where the run stands.
    pub(crate) fn status(&self) -> Value {
        let told =
            self.talk(&["status", "--run-dir", &self.run_dir(), "--output", "json"]).ends_within(SHORT);
        serde_json::from_str(&told.with(0).out).expect("stdout is one JSON document")
    }

    /// Begins the run, or goes on with it.
    pub(crate) fn apply(&self) -> Program {
        let line = ["apply", &self.plan(), "--run-dir", &self.run_dir(), "--yes", "--output", "json"];
        self.talk_with(&line, Some(requests::LOG))
    }

    /// Begins the run, which must be refused: nothing shall come of it.
    pub(crate) fn tries(&self) -> Ended {
        self.talk(&["apply", &self.plan(), "--run-dir", &self.run_dir(), "--yes"]).ends_within(SHORT)
    }

    /// Undoes what was done.
    pub(crate) fn rolls_back(&self, within: Duration) -> Ended {
        self.talk(&["rollback", "--run-dir", &self.run_dir(), "--yes"]).ends_within(within)
    }

    /// Gives up the way back.
    pub(crate) fn finalizes(&self) -> Ended {
        self.talk(&["finalize", "--run-dir", &self.run_dir(), "--yes"]).ends_within(SHORT)
    }

    /// What all commands that carry the plan out asked of the API server.
    pub(crate) fn requests(&self) -> Requests {
        let mut all = Requests::default();
        for number in 1..=self.started.get() {
            all.add(
                &std::fs::read_to_string(self.file(&format!("replank-{number}.err"))).unwrap_or_default(),
            );
        }
        all
    }

    /// A command that talks to the cluster.
    fn talk(&self, line: &[&str]) -> Program {
        self.talk_with(line, None)
    }

    fn talk_with(&self, line: &[&str], log: Option<&str>) -> Program {
        let kubeconfig = self.kubeconfig.display().to_string();
        self.start(&[line, &["--kubeconfig", &kubeconfig]].concat(), log)
    }

    fn replank(&self, line: &[&str]) -> Ended {
        self.start(line, None).ends_within(SHORT)
    }

    fn start(&self, line: &[&str], log: Option<&str>) -> Program {
        let number = self.started.get() + 1;
        self.started.set(number);
        let mut command = Command::new(path_of("replank"));
        // The providers lie beside it.
        command.args(line).env("HOME", self.home.path()).env_remove("KUBECONFIG").env_remove("REPLANK_LOG");
        command.envs(log.map(|log| ("REPLANK_LOG", log)));
        Program::start(command, self.home.path(), &format!("replank-{number}"))
    }
}
