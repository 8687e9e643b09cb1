//! `replank-simulator` on loopback, its faults and what it saw.

use super::program::{Program, eventually, path_of};
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long a cluster may take to come up, on a machine that is busy with other tests.
const COMES_UP: Duration = Duration::from_secs(120);

/// How large a cluster is, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) control_planes: usize,
    pub(crate) workers: usize,
    pub(crate) pods: usize,
    pub(crate) speed: usize,
}

/// One control plane, two workers, a few pods, as fast as it goes: what is real in time are Leases.
pub(crate) const SMALL: Size = Size { control_planes: 1, workers: 2, pods: 15, speed: 200 };

/// What a run's own bookkeeping is: it changes back and forth by nature.
const BOOKKEEPING: [&str; 2] =
    ["coordination.k8s.io/Lease/kube-system/replank", "core/ConfigMap/kube-system/replank-status"];

/// A cluster that stays until this is dropped.
pub(crate) struct Simulator {
    program: Program,
    folder: TempDir,
    runtime: Runtime,
    api: kube::Client,
    control: kube::Client,
    url: String,
    size: Size,
}

/// Whose credentials a client shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum As {
    Administrator,
    Stranger,
}

impl Simulator {
    /// Starts one and waits until it is ready.
    pub(crate) fn start(size: Size) -> Self {
        Self::start_with(size, &[])
    }

    /// The same with more on its command line.
    pub(crate) fn start_with(size: Size, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let kubeconfig = folder.path().join("kubeconfig");
        let mut command = Command::new(path_of("replank-simulator"));
        command.args(["--listen", "127.0.0.1:0", "--kubeconfig"]).arg(&kubeconfig);
        for (flag, value) in [
            ("--control-planes", size.control_planes),
            ("--workers", size.workers),
            ("--pods", size.pods),
            ("--speed", size.speed),
        ] {
            command.args([flag, &value.to_string()]);
        }
        command.args(arguments);
        let mut program = Program::start(command, folder.path(), "simulator");
        let ready: Value = eventually("the simulator is ready", COMES_UP, || {
            assert!(!program.has_ended(), "the simulator ended: {}", program.err());
            serde_json::from_str(&program.out()).ok()
        });
        assert_eq!(ready["kind"], "SimulatorReady");
        let runtime = Runtime::new().expect("a runtime can be made");
        let url = |key: &str| ready[key].as_str().expect("the simulator prints its addresses").to_owned();
        let client = |url: &str| runtime.block_on(client(&kubeconfig, url, As::Administrator));
        let (api, control) = (client(&url("url")), client(&url("control")));
        Self { program, folder, runtime, api, control, url: url("url"), size }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// How many nodes there are.
    pub(crate) fn nodes(&self) -> usize {
        self.size.control_planes + self.size.workers
    }

    /// Ends it, which must be a clean end.
    pub(crate) fn stop(mut self) {
        self.program.signal(Signal::TERM);
        self.program.ends_within(Duration::from_secs(20)).with(0);
    }

    fn ask(&self, client: &kube::Client, method: &str, path: &str, body: Option<&Value>) -> Value {
        let text = self.text(client, method, path, body);
        let text = text.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path} answers {text}"))
    }

    fn text(
        &self,
        client: &kube::Client,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String, kube::Error> {
        let patch = method == "PATCH";
        let content = if patch { "application/merge-patch+json" } else { "application/json" };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content)
            .header("user-agent", "kubectl")
            .body(body.map(|b| b.to_string().into_bytes()).unwrap_or_default())
            .expect("the request is one");
        self.runtime.block_on(client.request_text(request))
    }

    /// How a request is refused, which it must be.
    #[track_caller]
    pub(crate) fn refusal(&self, method: &str, path: &str, body: &Value) -> String {
        let body = (!body.is_null()).then_some(body);
        chain(&self.text(&self.api, method, path, body).expect_err("it is refused"))
    }

    /// Asks the Kubernetes API or the machine API, as kubectl would.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.ask(&self.api, "GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.ask(&self.api, "POST", path, Some(body))
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Value {
        self.ask(&self.api, "PATCH", path, Some(body))
    }

    /// Raises a fault, as on the command line.
    pub(crate) fn raise(&self, fault: &str) {
        let path = format!("/simulator/v1/faults/{}", fault.replace('/', "%2F"));
        self.ask(&self.control, "POST", &path, Some(&json!({})));
    }

    /// Lifts all faults of a name.
    pub(crate) fn lift(&self, name: &str) {
        self.ask(&self.control, "DELETE", &format!("/simulator/v1/faults/{name}"), None);
    }

    /// The faults there are, and those that are raised.
    pub(crate) fn faults(&self) -> Value {
        self.ask(&self.control, "GET", "/simulator/v1/faults", None)
    }

    /// A client that shows no credentials.
    pub(crate) fn stranger(&self) -> kube::Client {
        self.runtime.block_on(client(&self.kubeconfig(), &self.url, As::Stranger))
    }

    /// How a stranger is refused.
    pub(crate) fn refusal_of(&self, stranger: &kube::Client, path: &str) -> String {
        chain(&self.text(stranger, "GET", path, None).expect_err("a stranger is refused"))
    }

    /// Whether a request is answered.
    pub(crate) fn answers(&self, path: &str) -> bool {
        self.text(&self.api, "GET", path, None).is_ok()
    }

    /// What replank did, by the simulator's own record.
    pub(crate) fn effects(&self) -> Value {
        self.ask(&self.control, "GET", "/simulator/v1/effects", None)
    }

    /// How many calls the machine API denied for an old epoch.
    pub(crate) fn denied(&self) -> usize {
        self.effects()["denied"].as_array().map_or(0, Vec::len)
    }

    /// The migration is over, every effect happened once, no machine is orphaned, and no invariant was
    /// broken but those that `excused` names: by the simulator's own record.
    #[track_caller]
    pub(crate) fn is_migrated_excused(&self, excused: &[&str]) {
        let mut seen = self.ask(&self.control, "GET", "/simulator/v1/violations", None);
        if let Some(violations) = seen["violations"].as_array_mut() {
            violations.retain(|v| !excused.iter().any(|name| v["invariant"] == *name));
        }
        for kind in ["violations", "orphans", "leftovers", "changedBystanders"] {
            assert_eq!(seen[kind], json!([]), "{kind}");
        }
        let effects = self.effects();
        let empty = Vec::new();
        let list = |value: &Value| value.as_array().unwrap_or(&empty).clone();
        let repeated: Vec<Value> = list(&effects["repeated"])
            .into_iter()
            .filter(|r| !BOOKKEEPING.iter().any(|object| r["object"] == *object))
            .collect();
        assert!(repeated.is_empty(), "done twice: {repeated:#?}");
        let machines = list(&effects["machines"]);
        let running = machines.iter().filter(|m| m["state"] == "running").count();
        assert_eq!(running, self.nodes(), "{machines:#?}");
        assert_eq!(machines.len(), 2 * self.nodes(), "each old machine is kept, each new one was made once");
        let made = list(&effects["onMachines"]).iter().filter(|e| e["effect"] == "create").count();
        assert_eq!(made, 2 * self.nodes());
        let old: BTreeSet<&str> =
            machines.iter().filter(|m| m["run"].is_null()).filter_map(|m| m["name"].as_str()).collect();
        let mut uids = BTreeSet::new();
        for pod in list(&effects["pods"]) {
            assert_eq!(pod["by"], "eviction", "{pod}");
            assert!(
                pod["node"].as_str().is_some_and(|node| old.contains(node)),
                "sent from a new node: {pod}"
            );
            assert!(uids.insert(pod["uid"].to_string()), "sent away twice: {pod}");
        }
    }

    /// The same without any excuse.
    #[track_caller]
    pub(crate) fn is_migrated(&self) {
        self.is_migrated_excused(&[]);
    }
}

async fn client(kubeconfig: &Path, url: &str, who: As) -> kube::Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig is one");
    let options = KubeConfigOptions::default();
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("the kubeconfig is whole");
    config.cluster_url = url.parse().expect("the simulator prints its addresses");
    config.default_retry = false;
    if who == As::Stranger {
        config.auth_info = kube::config::AuthInfo::default();
    }
    kube::Client::try_from(config).expect("a client can be made")
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
