//! The world of a demo's run, and where it is kept.

use super::secrets::Seeded;
use super::{DemoArguments, DemoError, Progress};
use replank_execution::clock::VirtualClock;
use replank_execution::journal::Journalled;
use replank_execution::{Engine, Guards, Outcome, RunDir, Settings, World, observe};
use replank_planning::checks::{Consent, Severity};
use replank_planning::intent::Intent;
use replank_planning::plan::Plan;
use replank_planning::planner::{self, Assessment};
use replank_planning::state::ClusterState;
use replank_provider_kit::Provider;
use replank_provider_protocol::Capabilities;
use replank_provider_protocol::verbs::InitializeParams;
use replank_provider_simulator::SimulatorProvider;
use replank_simulator::scenario::Cluster;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

/// The world of a run, and where its plan and journal lie.
pub(super) struct Stage {
    world: World,
    capabilities: Capabilities,
    place: Place,
}

/// What was decided before the run.
pub(super) struct Decided {
    pub(super) state: ClusterState,
    pub(super) assessment: Assessment,
    pub(super) plan: Plan,
}

impl Stage {
    pub(super) async fn new(
        cluster: &Cluster,
        seed: u64,
        guards: Guards,
        place: Place,
    ) -> Result<Self, DemoError> {
        let provider = SimulatorProvider::new(cluster.client("replank-provider-simulator"));
        let begun = provider
            .initialize(InitializeParams { protocol_versions: vec![1], settings: serde_json::Value::Null })
            .await?;
        let clock = VirtualClock::starting_at(cluster.server.clock().now());
        let world = World::new(cluster.client("replank"), Arc::new(provider))
            .with_clock(Arc::new(clock))
            .with_entropy(Arc::new(Seeded::new(seed)))
            .with_guards(guards);
        Ok(Self { world, capabilities: begun.capabilities, place })
    }

    /// Observes the cluster, accepts what needs consent, and plans. `say` is told what was accepted.
    pub(super) async fn plan(
        &self,
        mut intent: Intent,
        say: impl Fn(String) + Send,
    ) -> Result<Decided, DemoError> {
        let state = observe(&self.world, &Settings::with_provider(self.capabilities.clone())).await?;
        let assessment = planner::assess(&state, &intent);
        for finding in assessment.of(Severity::Consent) {
            say(format!("accepted {} for {}: {}", finding.code, finding.object, finding.message));
            intent.accept.push(Consent { code: finding.code, object: Some(finding.object) });
        }
        let plan = planner::plan(&state, &intent, env!("CARGO_PKG_VERSION"))?;
        Ok(Decided { state, assessment, plan })
    }

    pub(super) async fn run(
        &self,
        plan: &Plan,
        progress: &UnboundedSender<Progress>,
        pause: CancellationToken,
    ) -> Result<Outcome, DemoError> {
        let run_dir = RunDir::open(&self.place.run_dir())?;
        run_dir.keep_plan(plan)?;
        let (events, mut inbox) = tokio::sync::mpsc::unbounded_channel();
        let engine = Engine::new(self.world.clone(), plan.clone(), run_dir, events, pause).asked_by("Ctrl-C");
        let pass_on = async {
            while let Some(event) = inbox.recv().await {
                let _ = progress.send(Progress::Run(event));
            }
        };
        let (outcome, ()) = tokio::join!(engine.apply(), pass_on);
        Ok(outcome?)
    }

    pub(super) fn journal(&self) -> Result<Option<Journalled>, DemoError> {
        Ok(RunDir::look(&self.place.run_dir())?.1)
    }

    /// The run's directory, from now on the user's.
    pub(super) fn keep(self) -> PathBuf {
        match self.place {
            Place::Asked(directory) => run_dir(&directory),
            Place::Temporary(directory) => run_dir(&directory.keep()),
        }
    }

    pub(super) fn run_dir(&self) -> PathBuf {
        self.place.run_dir()
    }
}

/// Where a demo's run lies.
pub(super) enum Place {
    /// Where `--record` says.
    Asked(PathBuf),
    /// Among the system's temporary files: it goes with a demo that ends without an account, which names its
    /// journal.
    Temporary(TempDir),
}

impl Place {
    /// Chosen before the cluster is built: the run of another cluster must not be gone on with.
    pub(super) fn of(arguments: &DemoArguments) -> Result<Self, DemoError> {
        let Some(directory) = &arguments.record else {
            let temporary = tempfile::Builder::new().prefix("replank-demo-").tempdir();
            return Ok(Self::Temporary(temporary.map_err(DemoError::Directory)?));
        };
        let run_dir = run_dir(directory);
        if run_dir.join("plan.json").exists() {
            return Err(DemoError::Recorded(directory.clone()));
        }
        let written = |source| DemoError::Written { path: run_dir.clone(), source };
        std::fs::create_dir_all(&run_dir).map_err(written)?;
        Ok(Self::Asked(directory.clone()))
    }

    fn run_dir(&self) -> PathBuf {
        match self {
            Self::Asked(directory) => run_dir(directory),
            Self::Temporary(directory) => run_dir(directory.path()),
        }
    }
}

fn run_dir(directory: &Path) -> PathBuf {
    directory.join("run")
}
