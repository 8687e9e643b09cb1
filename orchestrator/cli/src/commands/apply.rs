//! `replank apply`, and what every command has in common that carries out or undoes a plan.

use crate::account::{RunAccount, half_done};
use crate::cluster::{ClusterArguments, Connected};
use crate::confirm::confirmed;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::signals::Signals;
use crate::telling::{self, Narrator, Told};
use crate::{logging, machines, runs, wish};
use clap::Args;
use replank_execution::api::Api;
use replank_execution::engine::mirror::{self, Request};
use replank_execution::{Engine, Outcome, RunDir, RunError, Settings, World};
use replank_planning::ids::StepId;
use replank_planning::journal::RunPhase;
use replank_planning::lint;
use replank_planning::plan::Plan;
use replank_planning::waiting::PauseReason;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The flags of `replank apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArguments {
    /// The plan, as `replank plan --out` wrote it.
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The run's directory: journal and backup. Without it, one of its own below
    /// $XDG_STATE_HOME/replank/runs.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Doesn't ask.
    #[arg(long)]
    yes: bool,
    /// The format of events and account; as JSON, one document a line.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Carries out a plan, or goes on where its journal stopped.
pub(super) async fn run(arguments: &ApplyArguments) -> Result<Exit, Failure> {
    let plan = read(&arguments.plan)?;
    let run = plan.run_id().map_err(|e| RunError::Plan(e.to_string()))?;
    let directory = runs::directory(arguments.run_dir.as_deref(), &run)?;
    let mut next = format!(
        "replank apply {}{}",
        output::quoted(&arguments.plan.display().to_string()),
        arguments.cluster.flags()
    );
    if let Some(path) = &arguments.run_dir {
        next.push_str(&format!(" --run-dir {}", output::quoted(&path.display().to_string())));
    }
    let task = Task { plan, directory, format: arguments.output, next };
    if task.over()? {
        return Ok(task.tell(&Outcome::Finished));
    }
    let connected = arguments.cluster.connect().await?;
    connected.announce();
    let question = format!("This replaces {} nodes of {}.", task.plan.slots.len(), connected.shown());
    confirmed(arguments.yes, &question)?;
    Box::pin(task.carry_out(&connected, &arguments.cluster, Direction::Forward)).await
}

/// Reads a plan and reads it again as a reviewer would.
pub(super) fn read(path: &Path) -> Result<Plan, Failure> {
    let text = wish::read(path)?;
    let plan: Plan = serde_json::from_str(&text)
        .map_err(|e| Failure::NotAPlan { path: path.to_owned(), reason: e.to_string() })?;
    let faults = lint::faults(&plan);
    if faults.is_empty() { Ok(plan) } else { Err(Failure::Faulty(faults)) }
}

/// Which way a plan goes.
#[derive(Clone, Debug)]
pub(super) enum Direction {
    /// Towards its end.
    Forward,
    /// Back, as far as a step that stays, if one is named.
    Back(Option<StepId>),
}

/// A plan in a run directory, and how it is told about.
pub(super) struct Task {
    pub(super) plan: Plan,
    pub(super) directory: PathBuf,
    pub(super) format: Format,
    /// The command that goes on after a pause.
    pub(super) next: String,
}

impl Task {
    fn over(&self) -> Result<bool, Failure> {
        if !self.directory.join("plan.json").is_file() {
            return Ok(false);
        }
        let (kept, journalled) = RunDir::look(&self.directory)?;
        let over = |phase: &RunPhase| matches!(phase, RunPhase::Finished | RunPhase::Finalized);
        Ok(kept == self.plan && journalled.is_some_and(|j| over(&j.state.phase)))
    }

    pub(super) async fn carry_out(
        &self,
        connected: &Connected,
        cluster: &ClusterArguments,
        direction: Direction,
    ) -> Result<Exit, Failure> {
        let mut signals = Signals::new()?;
        let plugin = machines::start(&self.plan.intent.provider, cluster).await?;
        let settings = Settings::with_provider(plugin.greeting().capabilities.clone());
        let world = World::new(connected.client.clone(), Arc::new(plugin));
        loop {
            let Some(outcome) = Box::pin(self.once(&world, &settings, &direction, &mut signals)).await?
            else {
                let journalled = RunDir::look(&self.directory).ok().and_then(|(_, journalled)| journalled);
                output::say(&half_done(&self.plan, journalled.as_ref()));
                return Ok(Exit::Failed);
            };
            let asked = matches!(&outcome,
                Outcome::Paused { reason: PauseReason::Requested { by }, .. } if by == mirror::BY);
            if !asked {
                return Ok(self.tell(&outcome));
            }
            output::say("paused from elsewhere; goes on with `replank resume`, Ctrl-C leaves it paused");
            let api = Api::new(connected.client.clone());
            tokio::select! {
                biased;
                _ = signals.next() => return Ok(self.tell(&outcome)),
                () = mirror::asked(&api, Request::Resume) => {}
            }
        }
    }

    /// Runs the engine once; `None` if it was stopped at once.
    async fn once(
        &self,
        world: &World,
        settings: &Settings,
        direction: &Direction,
        signals: &mut Signals,
    ) -> Result<Option<Outcome>, Failure> {
        let run_dir = RunDir::open(&self.directory)?;
        let (events, happened) = tokio::sync::mpsc::unbounded_channel();
        let (told, inbox) = tokio::sync::mpsc::unbounded_channel();
        let aside = told.downgrade();
        logging::divert(aside.clone());
        let pause = CancellationToken::new();
        let engine = Engine::new(world.clone(), self.plan.clone(), run_dir, events, pause.clone())
            .asked_by("a signal")
            .comparing_facts(settings.clone());
        let driving = async {
            match direction {
                Direction::Forward => engine.apply().await,
                Direction::Back(to) => engine.rollback(to.clone()).await,
            }
        };
        let interrupted = async {
            let which = signals.next().await;
            let text = format!("{which}: pausing at the next safe point; once more stops now");
            if let Some(told) = aside.upgrade() {
                let _ = told.send(Told::Said(text));
            }
            pause.cancel();
            signals.next().await;
        };
        let journalled = RunDir::look(&self.directory).ok().and_then(|(_, journalled)| journalled);
        let state = journalled.map(|j| j.state).unwrap_or_default();
        let narrator = Narrator::new(self.format, &self.plan, state);
        let telling =
            async { tokio::join!(driving, telling::forward(happened, told), narrator.follow(inbox)) };
        tokio::select! {
            biased;
            (outcome, (), ()) = telling => Ok(Some(outcome?)),
            () = interrupted => Ok(None),
        }
    }

    pub(super) fn tell(&self, outcome: &Outcome) -> Exit {
        let journalled = RunDir::look(&self.directory).ok().and_then(|(_, journalled)| journalled);
        let next =
            matches!(outcome, Outcome::Paused { .. } | Outcome::Stuck { .. }).then(|| self.next.clone());
        let account = RunAccount::new(&self.plan, journalled.as_ref(), outcome, &self.directory, next);
        match self.format {
            Format::Json => output::document_line(&account),
            Format::Text => output::data(&account.text()),
        }
        match outcome {
            Outcome::Finished | Outcome::RolledBack => Exit::Done,
            Outcome::Paused { .. } => Exit::Paused,
            Outcome::NoWayBack { .. } | Outcome::Stuck { .. } => Exit::Failed,
        }
    }
}
