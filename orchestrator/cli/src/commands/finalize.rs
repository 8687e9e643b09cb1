//! `replank finalize`.

use crate::cluster::ClusterArguments;
use crate::confirm::confirmed;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::{machines, runs};
use clap::Args;
use replank_execution::finalize::{Retained, retained};
use replank_execution::{Engine, RunDir, World};
use replank_planning::intent::API_VERSION;
use replank_planning::journal::RunPhase;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The flags of `replank finalize`.
#[derive(Debug, Args)]
pub(crate) struct FinalizeArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The run's directory; without it the only run on this machine that is not finalized.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Doesn't ask.
    #[arg(long)]
    yes: bool,
    /// The format of what is told at the end.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Shows what will be destroyed, asks, and destroys it.
pub(super) async fn run(arguments: &FinalizeArguments) -> Result<Exit, Failure> {
    let over = |phase: &RunPhase| matches!(phase, RunPhase::Finalized);
    let directory = runs::meant(arguments.run_dir.as_deref(), over)?;
    let (plan, journalled) = RunDir::look(&directory)?;
    let state = journalled.map(|j| j.state).unwrap_or_default();
    if state.phase == RunPhase::Finalized {
        return Ok(tell(arguments.output, &[]));
    }
    let connected = arguments.cluster.connect().await?;
    connected.announce();
    output::say("this gives up the way back, and destroys:");
    for what in retained(&plan, &state) {
        output::say(&format!("  {}", shown(&what)));
    }
    output::say(&format!("  the backup in {}", directory.join("backup").display()));
    confirmed(arguments.yes, "None of it can be brought back.")?;
    let plugin = machines::start(&plan.intent.provider, &arguments.cluster).await?;
    let world = World::new(connected.client, Arc::new(plugin));
    // Every deletion is named above; what it waits for in between is not for the account.
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    let run_dir = RunDir::open(&directory)?;
    let gone = Engine::new(world, plan, run_dir, events, CancellationToken::new()).finalize().await?;
    Ok(tell(arguments.output, &gone))
}

fn tell(format: Format, gone: &[Retained]) -> Exit {
    match format {
        Format::Json => {
            output::document(&json!({"apiVersion": API_VERSION, "kind": "Finalized", "destroyed": gone}));
        }
        Format::Text => output::data(&format!("finalized: {} things destroyed, and the backup", gone.len())),
    }
    Exit::Done
}

fn shown(what: &Retained) -> String {
    match what {
        Retained::Machine { slot, machine } => format!("machine {machine} (was {slot})"),
        Retained::Snapshot { slot, snapshot } => format!("snapshot {snapshot} of {slot}'s machine"),
    }
}
