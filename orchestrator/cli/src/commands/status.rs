//! `replank status`.

use crate::cluster::ClusterArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::status::StatusDocument;
use crate::output::{self, Format};
use crate::{runs, timeline};
use clap::Args;
use replank_execution::RunDir;
use replank_execution::api::Api;
use replank_execution::clock::{SystemClock, WallClock, micros};
use replank_execution::engine::mirror;
use replank_execution::lock;
use replank_planning::intent::API_VERSION;
use replank_planning::journal::{RunState, Standing, Status};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a watched status is looked at again. The journal is a file that others write.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The flags of `replank status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The run's directory; without it the cluster itself is asked.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Every run that is kept on this machine.
    #[arg(long, conflicts_with = "run_dir")]
    all: bool,
    /// Tells every change until the run stops.
    #[arg(long, conflicts_with = "all")]
    watch: bool,
    /// The status's format; with --watch one document a line.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Tells where a run stands; changes nothing.
pub(super) async fn run(arguments: &StatusArguments) -> Result<Exit, Failure> {
    if arguments.all {
        return all(arguments.output);
    }
    let api = match &arguments.run_dir {
        Some(_) => None,
        None => Some(Api::new(arguments.cluster.connect().await?.client)),
    };
    let mut last = None;
    loop {
        let now = match (&arguments.run_dir, &api) {
            (Some(path), _) => of_directory(path)?,
            (None, Some(api)) => mirrored(api).await?,
            (None, None) => return Err(Failure::NoRun),
        };
        if last.as_ref() != Some(&now) {
            match (arguments.output, arguments.watch) {
                (Format::Json, false) => output::document(&now),
                (Format::Json, true) => output::document_line(&now),
                (Format::Text, false) => output::data(&now.text()),
                (Format::Text, true) => output::data(&format!("{}\n", now.text())),
            }
        }
        let goes_on = matches!(now.status.state, Standing::Running | Standing::New);
        if !arguments.watch || !goes_on {
            return Ok(Exit::Done);
        }
        last = Some(now);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The status of the run in a directory.
fn of_directory(path: &Path) -> Result<StatusDocument, Failure> {
    let (plan, journalled) = RunDir::look(path)?;
    let state = journalled.map_or_else(RunState::default, |j| j.state);
    let mut status = Status::of(&plan, &state);
    if status.state == Standing::Running && !RunDir::in_use(path) {
        status.state = Standing::Interrupted;
    }
    let run = plan.run_id().map(|run| run.to_string()).unwrap_or_default();
    let mut document = StatusDocument::new(run, status);
    document.cluster = Some(plan.cluster.uid.to_string());
    document.run_dir = Some(path.to_owned());
    Ok(document)
}

/// The status that the run itself wrote into its cluster. A process that ended without a word could not
/// write that it did: its lock tells, by this machine's clock.
async fn mirrored(api: &Api) -> Result<StatusDocument, Failure> {
    let seen = mirror::read(api).await?.ok_or(Failure::NoRun)?;
    let mut document = StatusDocument::new(seen.run.to_string(), seen.status);
    if document.status.state == Standing::Running {
        let beat = lock::beat(api).await?.filter(|beat| beat.holder == seen.holder);
        let now = micros(SystemClock.now());
        let age = beat.as_ref().and_then(|beat| timeline::seconds_between(&beat.renewed, &now));
        let lasts = beat.as_ref().map(|beat| beat.lasts.as_secs_f64());
        if age.zip(lasts).is_none_or(|(age, lasts)| age > lasts) {
            document.status.state = Standing::Interrupted;
            document.last_sign = beat.map(|beat| beat.renewed);
        }
    }
    document.holder = Some(seen.holder);
    Ok(document)
}

fn all(format: Format) -> Result<Exit, Failure> {
    let mut found = Vec::new();
    for path in runs::all()? {
        match of_directory(&path) {
            Ok(document) => found.push(document),
            // One that can't be read must not hide the others.
            Err(failure) => output::error(&failure),
        }
    }
    match format {
        Format::Json => {
            output::document(&json!({"apiVersion": API_VERSION, "kind": "RunStatusList", "items": found}));
        }
        Format::Text if found.is_empty() => output::say(&format!("no runs in {}", runs::place()?.display())),
        Format::Text => found.iter().for_each(|document| output::data(&document.row())),
    }
    Ok(Exit::Done)
}
