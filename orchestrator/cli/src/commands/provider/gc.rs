//! `replank provider gc`.

use crate::cluster::ClusterArguments;
use crate::confirm::confirmed;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::{machines, runs};
use clap::Args;
use replank_execution::engine::cluster_uid;
use replank_execution::orphans::{Orphan, Remembered, Standing, collect, orphans};
use replank_execution::{RunDir, RunError, World};
use replank_planning::ids::RunId;
use replank_planning::intent::{API_VERSION, ProviderChoice};
use replank_planning::journal::RunState;
use replank_planning::plan::Plan;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// The flags of `replank provider gc`.
#[derive(Debug, Args)]
pub(crate) struct GcArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The provider of machines: a name, or the path of its executable.
    #[arg(long, value_name = "NAME")]
    provider: String,
    /// One more run's directory, besides those on this machine. May be repeated.
    #[arg(long, value_name = "DIR")]
    run_dir: Vec<PathBuf>,
    /// Counts a run as over whose directory is lost: what it made goes too. May be repeated.
    #[arg(long, value_name = "RUN")]
    lost_run: Vec<String>,
    /// Deletes what is found, under the cluster's lock.
    #[arg(long)]
    delete: bool,
    /// Doesn't ask.
    #[arg(long, requires = "delete")]
    yes: bool,
    /// The list's format.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: &'static str,
    kind: &'static str,
    orphans: Vec<Orphan>,
    deleted: Vec<Orphan>,
}

/// Shows orphans, and deletes those that nobody needs when told to.
pub(super) async fn run(arguments: &GcArguments) -> Result<Exit, Failure> {
    let read = directories(arguments)?;
    let remembered: Vec<Remembered<'_>> =
        read.iter().map(|(plan, state)| Remembered { plan, state }).collect();
    let connected = arguments.cluster.connect().await?;
    let choice = ProviderChoice { name: arguments.provider.clone(), ..ProviderChoice::default() };
    let plugin = machines::start(&choice, &arguments.cluster).await?;
    let world = World::new(connected.client.clone(), Arc::new(plugin));
    let cluster = cluster_uid(&world).await.map_err(RunError::from)?;
    let found = orphans(&world, &cluster, &remembered).await?;
    let lost = |run: &RunId| arguments.lost_run.iter().any(|l| l == run.as_str());
    let doomed: Vec<Orphan> = found
        .iter()
        .filter(|o| match o.standing {
            Standing::Forgotten => true,
            Standing::Unknown => lost(&o.run),
            Standing::Unfinished => false,
        })
        .cloned()
        .collect();
    if arguments.output == Format::Text {
        show(&found, &doomed);
    }
    let mut deleted = Vec::new();
    if arguments.delete && !doomed.is_empty() {
        connected.announce();
        confirmed(arguments.yes, &format!("This deletes {} of them for good.", doomed.len()))?;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let holder = format!("{}/gc-{}", host.trim(), std::process::id());
        let wait = |waiting| output::say(&format!("{waiting}"));
        deleted = collect(&world, &cluster, &remembered, &doomed, holder, wait).await?;
    }
    match arguments.output {
        Format::Json => {
            output::document(&Document {
                api_version: API_VERSION,
                kind: "Orphans",
                orphans: found,
                deleted,
            });
        }
        Format::Text if arguments.delete => output::data(&format!("deleted: {}", deleted.len())),
        Format::Text => {}
    }
    Ok(Exit::Done)
}

fn directories(arguments: &GcArguments) -> Result<Vec<(Plan, RunState)>, Failure> {
    let mut read = Vec::new();
    for directory in runs::all()?.iter().chain(&arguments.run_dir) {
        let (plan, journalled) = RunDir::look(directory)?;
        read.push((plan, journalled.map(|j| j.state).unwrap_or_default()));
    }
    Ok(read)
}

fn show(found: &[Orphan], doomed: &[Orphan]) {
    if found.is_empty() {
        return output::data(
            "no orphans: every machine and snapshot that a run made is a Node's or remembered",
        );
    }
    for orphan in found {
        let why = match orphan.standing {
            _ if doomed.contains(orphan) => "nobody remembers it",
            Standing::Unfinished => "stays: the run is not over, and may take it up",
            Standing::Unknown | Standing::Forgotten => {
                "stays: the run's directory is not here; give --run-dir DIR, or --lost-run RUN if it is lost"
            }
        };
        output::data(&format!("{} of {}\n  {why}", orphan.made, orphan.run));
    }
}
