//! `replank` with a home of its own, its plan and its runs.

use super::program::{Ended, Program, path_of};
use super::simulator::Simulator;
use serde_json::{Value, json};
use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// How long a command that only asks may take.
const SHORT: Duration = Duration::from_secs(60);
/// How long a whole migration may take.
pub(crate) const WHOLE: Duration = Duration::from_secs(400);

/// Someone at a machine of their own: a home, a state directory, a plan.
pub(crate) struct Operator<'s> {
    simulator: &'s Simulator,
    folder: TempDir,
    started: Cell<u32>,
}

impl<'s> Operator<'s> {
    pub(crate) fn new(simulator: &'s Simulator) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        Self { simulator, folder, started: Cell::new(0) }
    }

    /// Someone else, with a copy of this one's plan and run directory.
    pub(crate) fn elsewhere(&self) -> Self {
        let other = Self::new(self.simulator);
        std::fs::copy(self.plan(), other.plan()).expect("the plan can be copied");
        if self.run_dir().exists() {
            copy(&self.run_dir(), &other.run_dir());
        }
        other
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn plan(&self) -> PathBuf {
        self.file("plan.json")
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.file("run")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.run_dir().join("journal.ndjson")
    }

    /// The journal's bytes as they are now.
    pub(crate) fn journal_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.journal()).unwrap_or_default()).into_owned()
    }

    /// How many whole lines the journal has.
    pub(crate) fn lines(&self) -> usize {
        self.journal_text().matches('\n').count()
    }

    /// Starts `replank` in this home.
    pub(crate) fn start<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Program {
        self.start_by(&[path_of("replank").into_os_string()], arguments)
    }

    /// The same, started by another program's command line.
    fn start_by<A: AsRef<OsStr>>(&self, line: &[OsString], arguments: &[A]) -> Program {
        let number = self.started.get() + 1;
        self.started.set(number);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).args(arguments).env_clear().env("HOME", self.folder.path());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        for (name, folder) in
            [("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache")]
        {
            command.env(name, self.file(folder));
        }
        Program::start(command, self.folder.path(), &format!("replank-{number}"))
    }

    /// Runs `replank` to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Ended {
        self.start(arguments).ends_within(SHORT)
    }

    pub(crate) fn kubeconfig(&self) -> String {
        self.simulator.kubeconfig().display().to_string()
    }

    /// What `replank check` finds.
    pub(crate) fn findings(&self) -> Vec<Value> {
        let ended =
            self.run(&["check", "--kubeconfig", &self.kubeconfig(), "--provider", "simulator", "-o", "json"]);
        assert!([0, 3].contains(&ended.status), "{ended:?}");
        let told: Value = serde_json::from_str(&ended.out).expect("stdout is one JSON document");
        told["findings"].as_array().cloned().expect("there are findings")
    }

    /// Every consent that the cluster needs now, each for its object.
    pub(crate) fn consents(&self) -> Vec<String> {
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let consents = self.findings().into_iter().filter(|f| f["severity"] == "consent");
        consents.map(|f| format!("{}:{}", text(&f, "code"), text(&f, "object"))).collect()
    }

    /// Plans, with these consents.
    pub(crate) fn plans(&self, consents: &[String]) -> Ended {
        let (kubeconfig, out) = (self.kubeconfig(), self.plan().display().to_string());
        let mut line = vec!["plan", "--kubeconfig", &kubeconfig, "--provider", "simulator", "--out", &out];
        for consent in consents {
            line.extend(["--accept", consent.as_str()]);
        }
        let ended = self.run(&line);
        if ended.status == 0 {
            self.without_soak();
        }
        ended
    }

    /// Cuts the minute for which the first replacement is watched: nothing here is about it.
    fn without_soak(&self) {
        let text = std::fs::read(self.plan()).expect("the plan was written");
        let mut plan: Value = serde_json::from_slice(&text).expect("a plan is JSON");
        let steps = plan["steps"].as_array_mut().expect("a plan has steps");
        for soak in steps.iter_mut().filter(|step| step["action"]["action"] == "soak") {
            soak["action"]["seconds"] = json!(0);
        }
        std::fs::write(self.plan(), plan.to_string()).expect("the folder is writable");
    }

    /// A plan with every consent that is needed.
    pub(crate) fn planned(self) -> Self {
        self.plans(&self.consents()).with(0);
        self
    }

    /// Begins the run, or takes it up again.
    pub(crate) fn apply(&self) -> Program {
        self.apply_to(self.simulator)
    }

    /// The same with another cluster's kubeconfig.
    pub(crate) fn apply_to(&self, simulator: &Simulator) -> Program {
        self.start(&self.apply_line(simulator))
    }

    /// The same, started by another program's command line.
    pub(crate) fn apply_by(&self, line: &[OsString]) -> Program {
        self.start_by(line, &self.apply_line(self.simulator))
    }

    fn apply_line(&self, simulator: &Simulator) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["apply".into(), self.plan().into()];
        line.extend(["--kubeconfig".into(), simulator.kubeconfig().into()]);
        line.extend(["--run-dir".into(), self.run_dir().into(), "--yes".into(), "-o".into(), "json".into()]);
        line
    }

    /// Carries the plan out to its end.
    pub(crate) fn applies(&self) -> Ended {
        self.apply().ends_within(WHOLE)
    }

    /// What `replank status` tells of the run.
    pub(crate) fn status(&self) -> Value {
        let run_dir = self.run_dir().display().to_string();
        let ended = self.run(&["status", "--run-dir", &run_dir, "-o", "json"]).with(0);
        serde_json::from_str(&ended.out).expect("stdout is one JSON document")
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the run directory can be read").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}
