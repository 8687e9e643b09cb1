//! `replank resume`.

use super::pause;
use crate::cluster::ClusterArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use clap::Args;
use replank_execution::api::Api;
use replank_execution::engine::mirror::{self, Request};
use replank_planning::journal::Standing;

/// The flags of `replank resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Asks a process that waits after `replank pause` to go on. One that has ended can't hear it: then
/// the same `replank apply` must be run where its run directory is.
pub(super) async fn run(arguments: &ResumeArguments) -> Result<Exit, Failure> {
    let connected = arguments.cluster.connect().await?;
    let api = Api::new(connected.client.clone());
    let seen = mirror::read(&api).await?.ok_or(Failure::NoRun)?;
    if seen.status.state != Standing::Paused {
        // A request to pause that nobody has taken yet is taken back.
        mirror::request(&api, None).await?;
        output::say(&format!("{} is not paused", seen.run));
        return Ok(Exit::Done);
    }
    connected.announce();
    let why = format!(
        "no process of {} waits any more. Run the same `replank apply` again on {}, or wherever its run directory is now",
        seen.run, seen.holder
    );
    pause::ask(&api, Request::Resume, &why).await?;
    output::say(&format!("{} on {} goes on", seen.run, seen.holder));
    Ok(Exit::Done)
}
