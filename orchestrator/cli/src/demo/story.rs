//! From the cluster to the account.

use super::account::{Account, Source};
use super::stage::{Decided, Place, Stage};
use super::{DemoArguments, DemoError, pace, record};
use crate::wish::read;
use replank_execution::{Guards, Outcome, RunEvent};
use replank_planning::plan::Plan;
use replank_planning::waiting::PauseReason;
use replank_simulator::Clock;
use replank_simulator::faults::Fault;
use replank_simulator::observer::{Observer, Violation, aftermath};
use replank_simulator::scenario::{Cluster, ClusterSpec, Manifest, ScenarioError};
use std::collections::BTreeSet;
use std::path::Path;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

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
    let place = Place::of(arguments)?;
    let clock = Clock::fixed();
    let teller = Teller { progress, clock };
    teller.say(format!(
        "building a cluster: {} control planes, {} workers, about {} pods",
        spec.control_planes, spec.workers, spec.pods
    ));
    let cluster = tokio::select! {
        biased;
        () = pause.cancelled() => return Err(DemoError::Stopped),
        cluster = Cluster::build(spec, clock) => cluster.map_err(|error| not_up(arguments, error))?,
    };
    let stage = Stage::new(&cluster, arguments.seed, guards, place).await?;
    let Decided { state, assessment, plan } = stage.plan(intent, |text| teller.say(text)).await?;
    teller.say(format!("planned {} steps for {} nodes", plan.steps.len(), plan.slots.len()));
    let _ = progress.send(Progress::Planned(Box::new(plan.clone())));
    if let Some(directory) = &arguments.record {
        record::requests(&cluster, directory)?;
    }
    for fault in faults {
        teller.say(format!("raising the fault {}", fault.name));
        // The machines' faults are the same ones: the cluster is one process.
        cluster.server.faults().raise(fault);
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
    let violations = violations(&cluster, &mut observer, &machines_before, &stage.run_dir(), &outcome);
    let account = Source {
        arguments,
        cluster: &cluster,
        state: &state,
        assessment: &assessment,
        plan: &plan,
        outcome: &outcome,
        journal: journalled.as_ref(),
        journal_path: stage.keep().join("journal.ndjson"),
        violations,
        wall: started.elapsed(),
    }
    .account();
    Ok(Told { account, cluster })
}

/// The built-in network comes up; one that was given may lack something.
fn not_up(arguments: &DemoArguments, error: ScenarioError) -> DemoError {
    if arguments.cni_manifest.is_empty() { DemoError::Cluster(error) } else { DemoError::Network(error) }
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
        let fault: Fault = text.parse()?;
        let bounded = fault.count.is_some() || fault.rate < 1.0;
        Ok(if bounded { fault } else { fault.count(STRIKES) })
    });
    parsed.collect()
}

fn manifest(path: &Path) -> Result<Manifest, DemoError> {
    let name = path.file_name().map_or_else(|| path.to_string_lossy(), |n| n.to_string_lossy());
    Ok(Manifest::read(&name, &read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        demo: DemoArguments,
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_that_is_to_strike_once_strikes_once() {
        let fault = "too-many-requests:client=replank:count=1";
        let size = ["--control-planes", "1", "--workers", "1", "--pods", "3", "--speed", "max"];
        let record = tempfile::tempdir().unwrap();
        let kept = ["--fault", fault, "--record", record.path().to_str().unwrap()];
        let line = Line::parse_from([&["demo"], &size[..], &kept].concat());
        let (progress, _inbox) = tokio::sync::mpsc::unbounded_channel();
        let told = Box::pin(tell(&line.demo, &progress, CancellationToken::new())).await.unwrap();
        assert_eq!(told.account.result, crate::demo::Verdict::Succeeded);
        assert_eq!(told.cluster.server.faults().struck("too-many-requests"), 1);
    }
}
