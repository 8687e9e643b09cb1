//! From the cluster to the account.

use super::account::{self, Account};
use super::arguments::NoRoom;
use super::{DemoArguments, pace, record, secrets::Seeded};
use crate::wish::{Unreadable, WishError, read};
use replank_execution::clock::VirtualClock;
use replank_execution::guards::UnknownGuard;
use replank_execution::run_dir::RunDirError;
use replank_execution::{
    Engine, Guards, ObserveError, Outcome, RunDir, RunError, RunEvent, Settings, World, observe,
};
use replank_planning::checks::{Consent, Severity};
use replank_planning::intent::Intent;
use replank_planning::plan::Plan;
use replank_planning::planner::{self, Assessment, NotPlanned};
use replank_planning::state::ClusterState;
use replank_planning::waiting::PauseReason;
use replank_provider_kit::Provider;
use replank_provider_protocol::verbs::InitializeParams;
use replank_provider_protocol::{Capabilities, ProviderError};
use replank_provider_simulator::SimulatorProvider;
use replank_simulator::Clock;
use replank_simulator::faults::Fault;
use replank_simulator::observer::{Observer, Violation, aftermath};
use replank_simulator::scenario::{Cluster, ClusterSpec, Manifest, ManifestError, ScenarioError};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

/// Why a demo ended without an account.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] Unreadable),
    /// What is wanted makes no sense.
    #[error(transparent)]
    Wish(#[from] WishError),
    /// A file could not be written.
    #[error("{path} could not be written: {source}")]
    Written {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A fault that nobody knows.
    #[error("{0}; `replank demo --fault list` prints the names")]
    Fault(String),
    /// A manifest makes no sense.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The cluster would have no room for its pods.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// Someone ended the demo before its run began.
    #[error("stopped while the demo's cluster was being made; nothing was begun")]
    Stopped,
    /// A guard's name.
    #[error(transparent)]
    Guard(#[from] UnknownGuard),
    /// The cluster did not come up.
    #[error("the demo's cluster did not come up: {0}")]
    Cluster(#[from] ScenarioError),
    /// The provider.
    #[error("the simulator's provider refused to begin")]
    Provider(#[from] ProviderError),
    /// The cluster could not be observed.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// There is no plan.
    #[error(transparent)]
    NotPlanned(#[from] NotPlanned),
    /// The run's directory.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The run ended with an error.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A temporary directory.
    #[error("no directory for the run could be made: {0}")]
    Directory(std::io::Error),
}

/// What the demo tells while it goes on.
#[derive(Debug)]
pub(crate) enum Progress {
    /// A sentence of the demo itself.
    Said(String),
    /// The plan is made.
    Planned(Box<Plan>),
    /// Something happened in the run.
    Run(RunEvent),
}

/// A told story.
pub(crate) struct Told {
    /// The account of it.
    pub(crate) account: Account,
    /// The cluster, as it is now.
    pub(crate) cluster: Cluster,
}

/// Builds the cluster, migrates it, and gives the account.
///
/// # Errors
/// When the input makes no sense, the cluster does not come up, or the run can't be carried out.
pub(crate) async fn tell(
    arguments: &DemoArguments,
    progress: &UnboundedSender<Progress>,
    pause: CancellationToken,
) -> Result<Told, DemoError> {
    let started = std::time::Instant::now();
    let guards = Guards::without(arguments.without_guard.iter().map(String::as_str))?;
    let faults = faults(arguments)?;
    let spec = spec(arguments)?;
    let intent = arguments.wish.intent()?;
    let clock = Clock::fixed();
    let teller = Teller { progress, clock };
    teller.say(format!(
        "building a cluster: {} control planes, {} workers, about {} pods",
        spec.control_planes, spec.workers, spec.pods
    ));
    let cluster = tokio::select! {
        biased;
        () = pause.cancelled() => return Err(DemoError::Stopped),
        cluster = Cluster::build(spec, clock) => cluster?,
    };
    let stage = Stage::new(&cluster, arguments, guards).await?;
    let (state, assessment, plan) = stage.plan(intent, &teller).await?;
    teller.say(format!("planned {} steps for {} nodes", plan.steps.len(), plan.slots.len()));
    let _ = progress.send(Progress::Planned(Box::new(plan.clone())));
    if let Some(directory) = &arguments.record {
        record::requests(&cluster, directory)?;
    }
    for fault in faults {
        teller.say(format!("raising the fault {}", fault.name));
        cluster.server.faults().raise(fault.clone());
        cluster.datacenter.faults().raise(fault);
    }
    let machines_before = cluster.datacenter.machines().into_iter().map(|machine| machine.id).collect();
    let mut observer = Observer::new(&cluster.server, &cluster.datacenter);
    let outcome = tokio::select! {
        biased;
        () = observer.watch() => ended("the observer saw what no cluster goes on from"),
        outcome = stage.run(&plan, progress, pause) => outcome?,
        () = pace::keep(arguments.speed) => ended("the demo's clock stopped"),
    };
    if let Some(directory) = &arguments.record {
        record::inventories(&cluster, directory)?;
    }
    let journalled = stage.journal()?;
    let account = account::Source {
        arguments,
        cluster: &cluster,
        state: &state,
        assessment: &assessment,
        plan: &plan,
        outcome: &outcome,
        journal: journalled.as_ref(),
        journal_path: stage.run_dir.join("journal.ndjson"),
        violations: violations(&cluster, &mut observer, &machines_before, &stage.run_dir, &outcome),
        wall: started.elapsed(),
    }
    .account();
    Ok(Told { account, cluster })
}

/// The story ended before the run did.
fn ended(reason: &str) -> Outcome {
    let reason = PauseReason::StepFailed { reason: reason.to_owned() };
    Outcome::Paused { reason, step: None }
}

/// Everything that was seen broken, by the simulator's own observer.
fn violations(
    cluster: &Cluster,
    observer: &mut Observer,
    machines_before: &BTreeSet<String>,
    run_dir: &Path,
    outcome: &Outcome,
) -> Vec<Violation> {
    let texts = ["plan.json", "journal.ndjson"]
        .map(|name| (name.to_owned(), std::fs::read_to_string(run_dir.join(name)).unwrap_or_default()));
    let mut found = observer.violations();
    found.extend(aftermath::evictions(&cluster.server, "replank"));
    found.extend(aftermath::effects(&cluster.datacenter));
    found.extend(aftermath::destroyed(&cluster.datacenter, machines_before));
    found.extend(aftermath::secrets(&texts));
    if matches!(outcome, Outcome::Finished) {
        found.extend(aftermath::orphans(&cluster.server, &cluster.datacenter));
    }
    found
}

/// Who says the demo's own sentences, each with the cluster's time of day.
struct Teller<'a> {
    progress: &'a UnboundedSender<Progress>,
    clock: Clock,
}

impl Teller<'_> {
    fn say(&self, text: String) {
        let line = format!("{} {text}", self.clock.now().strftime("%H:%M:%S"));
        // Whoever listened may be gone; the story goes on.
        let _ = self.progress.send(Progress::Said(line));
    }
}

fn spec(arguments: &DemoArguments) -> Result<ClusterSpec, DemoError> {
    let manifests = arguments.cni_manifest.iter().map(|path| manifest(path)).collect::<Result<_, _>>()?;
    Ok(ClusterSpec {
        control_planes: arguments.control_planes.into(),
        workers: arguments.workers.into(),
        pods: usize::try_from(arguments.wanted_pods()?).unwrap_or(usize::MAX),
        seed: arguments.seed,
        manifests,
        ..ClusterSpec::default()
    })
}

/// How often a fault of the demo strikes where nothing else is said: often enough to be seen, and
/// it passes.
const STRIKES: u32 = 5;

fn faults(arguments: &DemoArguments) -> Result<Vec<Fault>, DemoError> {
    let parsed = arguments.fault.iter().map(|text| {
        let fault: Fault = text.parse().map_err(|error| DemoError::Fault(format!("{error}")))?;
        let bounded = fault.count.is_some() || fault.rate < 1.0;
        Ok(if bounded { fault } else { fault.count(STRIKES) })
    });
    parsed.collect()
}

fn manifest(path: &Path) -> Result<Manifest, DemoError> {
    let name = path.file_name().map_or_else(|| path.to_string_lossy(), |n| n.to_string_lossy());
    Ok(Manifest::read(&name, &read(path)?)?)
}

/// The world of a run, and where its journal lies.
struct Stage {
    world: World,
    capabilities: Capabilities,
    run_dir: PathBuf,
    /// Kept until the account is made; with `--record` it is the user's directory instead.
    _temporary: Option<tempfile::TempDir>,
}

impl Stage {
    async fn new(cluster: &Cluster, arguments: &DemoArguments, guards: Guards) -> Result<Self, DemoError> {
        let client = cluster.client("replank");
        let provider = SimulatorProvider::new(cluster.client("replank-provider-simulator"));
        let begun = provider
            .initialize(InitializeParams { protocol_versions: vec![1], settings: serde_json::Value::Null })
            .await?;
        let clock = VirtualClock::starting_at(cluster.server.clock().now());
        let world = World::new(client, Arc::new(provider))
            .with_clock(Arc::new(clock))
            .with_entropy(Arc::new(Seeded::new(arguments.seed)))
            .with_guards(guards);
        let (run_dir, temporary) = match &arguments.record {
            Some(directory) => (directory.join("run"), None),
            None => {
                let temporary = tempfile::Builder::new().prefix("replank-demo-").tempdir();
                let temporary = temporary.map_err(DemoError::Directory)?;
                (temporary.path().join("run"), Some(temporary))
            }
        };
        std::fs::create_dir_all(&run_dir).map_err(DemoError::Directory)?;
        Ok(Self { world, capabilities: begun.capabilities, run_dir, _temporary: temporary })
    }

    /// Observes the cluster, accepts what needs consent, and plans.
    async fn plan(
        &self,
        mut intent: Intent,
        teller: &Teller<'_>,
    ) -> Result<(ClusterState, Assessment, Plan), DemoError> {
        let state = observe(&self.world, &Settings::with_provider(self.capabilities.clone())).await?;
        let assessment = planner::assess(&state, &intent);
        for finding in assessment.of(Severity::Consent) {
            teller.say(format!("accepted {} for {}: {}", finding.code, finding.object, finding.message));
            intent.accept.push(Consent { code: finding.code, object: Some(finding.object) });
        }
        let plan = planner::plan(&state, &intent, env!("CARGO_PKG_VERSION"))?;
        Ok((state, assessment, plan))
    }

    async fn run(
        &self,
        plan: &Plan,
        progress: &UnboundedSender<Progress>,
        pause: CancellationToken,
    ) -> Result<Outcome, DemoError> {
        let run_dir = RunDir::open(&self.run_dir)?;
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

    fn journal(&self) -> Result<Option<replank_execution::journal::Journalled>, DemoError> {
        Ok(RunDir::look(&self.run_dir)?.1)
    }
}
