//! A lab with a cluster and everything that a run needs of the outside.

use replank_execution::world::client;
use replank_execution::{Engine, Outcome, RunDir, RunEvent, Settings, World, observe};
use replank_lab::Lab;
use replank_lab::build::{self, report::Progress};
use replank_lab::cluster::{Cluster, Shape};
use replank_lab::place::Place;
use replank_lab::supervisor::Held;
use replank_planning::checks::{Consent, Severity};
use replank_planning::intent::{Intent, Strategy};
use replank_planning::plan::Plan;
use replank_planning::planner;
use replank_provider_kit::plugin::PluginProvider;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Workloads of the lab's own.
pub(crate) const WORKLOADS: &str = include_str!("../manifests/workloads.yaml");

/// A lab of one test. It ends when this is dropped, after a panic too.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    /// Where runs keep their journals.
    pub(crate) runs: tempfile::TempDir,
    /// None for a developer's own lab, which stays.
    _held: Option<Held>,
}

/// A program that was built beside this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own program");
    let folder = test.parent().and_then(Path::parent).expect("tests lie in a folder of the build's");
    folder.join(name)
}

#[allow(clippy::print_stderr, reason = "a test's own output")]
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}

impl Stage {
    /// A cluster with nothing on it but its network. Where `REPLANK_LAB` names a lab that is up, that one.
    pub(crate) fn with(name: &str, shape: Shape) -> Self {
        let runs = tempfile::tempdir().expect("there is room");
        if std::env::var_os(replank_lab::place::FOLDER).is_some() {
            let lab = Lab::open(Place::find()).unwrap_or_else(|error| panic!("{error}"));
            let cluster = Cluster::open(lab).unwrap_or_else(|error| panic!("{error}"));
            return Self { cluster, runs, _held: None };
        }
        replank_lab::needs::kernel().unwrap_or_else(|error| panic!("{error}"));
        let mut listener = say;
        let mut progress = Progress::new(&mut listener);
        let built = build::build(&mut progress).unwrap_or_else(|error| panic!("{error}"));
        // Not in the build's folder: a socket's path must be short.
        let place = Place::new(std::env::temp_dir().join(format!("replank-{name}-{}", std::process::id())));
        let began = Instant::now();
        let held = Held::start(&program("replank-lab"), place.clone(), &built)
            .unwrap_or_else(|error| panic!("{error}"));
        let lab = Lab::open(place).expect("it was started");
        let cluster = Cluster::make(lab, shape, &mut progress).unwrap_or_else(|error| panic!("{error}"));
        say(&format!("the cluster was ready after {:.0} s", began.elapsed().as_secs_f64()));
        Self { cluster, runs, _held: Some(held) }
    }

    /// A connection as replank makes it.
    pub(crate) async fn client(&self) -> kube::Client {
        let text = std::fs::read_to_string(self.cluster.kubeconfig()).expect("the lab wrote it");
        let kubeconfig = kube::config::Kubeconfig::from_yaml(&text).expect("it is a kubeconfig");
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options);
        client(config.await.expect("it can be used")).expect("a client can be made")
    }

    /// Puts workloads on the cluster and waits until they are ready.
    pub(crate) fn furnish(&self, manifest: &str) {
        self.cluster.kubectl(&["apply", "-f", "-"], Some(manifest)).unwrap_or_else(|e| panic!("{e}"));
        let nodes = self.cluster.list("nodes").expect("nodes can be listed").len();
        self.cluster.settled(nodes).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Plans a migration, with every consent given, and carries it out.
    pub(crate) async fn migrate(&self, strategy: Strategy) -> (Plan, Outcome) {
        let place = self.cluster.lab().place().folder().display().to_string();
        let settings = json!({"lab": place});
        let plugin = PluginProvider::start("lab", program("replank-provider-lab"), settings).await;
        let plugin = plugin.unwrap_or_else(|error| panic!("{error}"));
        let capabilities = plugin.greeting().capabilities.clone();
        let world = World::new(self.client().await, Arc::new(plugin));
        let state = observe(&world, &Settings::with_provider(capabilities)).await;
        let state = state.unwrap_or_else(|error| panic!("{error}"));
        let mut intent = Intent { strategy, ..Intent::default() };
        intent.nodes.canary_soak_seconds = 5;
        let assessment = planner::assess(&state, &intent);
        for finding in &assessment.findings {
            say(&format!(
                "finding {:?} {} {}: {}",
                finding.severity, finding.code, finding.object, finding.message
            ));
        }
        for finding in assessment.of(Severity::Consent) {
            intent.accept.push(Consent { code: finding.code, object: Some(finding.object) });
        }
        let plan = planner::plan(&state, &intent, env!("CARGO_PKG_VERSION"));
        let plan = plan.unwrap_or_else(|error| panic!("{error}"));
        let outcome = self.apply(&world, &plan).await;
        (plan, outcome)
    }

    async fn apply(&self, world: &World, plan: &Plan) -> Outcome {
        let run = self.runs.path().join("run");
        std::fs::create_dir_all(&run).expect("there is room");
        let run_dir = RunDir::open(&run).unwrap_or_else(|error| panic!("{error}"));
        run_dir.keep_plan(plan).unwrap_or_else(|error| panic!("{error}"));
        let (events, mut inbox) = tokio::sync::mpsc::unbounded_channel();
        let pause = CancellationToken::new();
        let engine = Engine::new(world.clone(), plan.clone(), run_dir, events, pause);
        let began = Instant::now();
        let listen = async {
            while let Some(event) = inbox.recv().await {
                let at = began.elapsed().as_secs_f64();
                match event {
                    RunEvent::Recorded(entry) => say(&shortened(&format!("{at:7.1} {:?}", entry.record))),
                    RunEvent::Waiting { step, waiting } => {
                        say(&shortened(&format!("{at:7.1} waits {step:?} {waiting:?}")));
                    }
                }
            }
        };
        let (outcome, ()) = tokio::join!(tokio::time::timeout(MIGRATION, engine.apply()), listen);
        let outcome = outcome.expect("a migration ends in time").unwrap_or_else(|error| panic!("{error}"));
        say(&format!("the run ended after {:.0} s: {outcome:?}", began.elapsed().as_secs_f64()));
        outcome
    }

    /// Objects of a kind, of all namespaces.
    pub(crate) fn list(&self, resource: &str) -> Vec<Value> {
        self.cluster.list(resource).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// How long a migration may take at most.
const MIGRATION: Duration = Duration::from_secs(900);

fn shortened(line: &str) -> String {
    line.chars().take(300).collect()
}
