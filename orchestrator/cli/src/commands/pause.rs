//! `replank pause`.

use crate::cluster::ClusterArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use clap::Args;
use replank_execution::api::Api;
use replank_execution::engine::mirror::{self, Request};
use replank_planning::journal::Standing;
use std::time::Duration;

/// How long a run has to take a request: it watches for them, so only a slow API server is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The flags of `replank pause`.
#[derive(Debug, Args)]
pub(crate) struct PauseArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Asks for a pause through the cluster's mirror, and waits until the request is taken.
pub(super) async fn run(arguments: &PauseArguments) -> Result<Exit, Failure> {
    let connected = arguments.cluster.connect().await?;
    let api = Api::new(connected.client.clone());
    let seen = mirror::read(&api).await?.ok_or(Failure::NoRun)?;
    if seen.status.state != Standing::Running {
        output::say(&format!("{} is not running: nothing to pause", seen.run));
        return Ok(Exit::Done);
    }
    connected.announce();
    ask(&api, Request::Pause, &format!("the process of {} on {} may have ended", seen.run, seen.holder))
        .await?;
    output::say(&format!("{} on {} pauses at its next safe point", seen.run, seen.holder));
    Ok(Exit::Done)
}

/// Puts a request on the mirror and waits until somebody takes it off; takes it back if nobody does.
pub(super) async fn ask(api: &Api, what: Request, why: &str) -> Result<(), Failure> {
    mirror::request(api, Some(what)).await?;
    if tokio::time::timeout(PATIENCE, mirror::taken(api, what)).await.is_ok() {
        return Ok(());
    }
    mirror::request(api, None).await?;
    Err(Failure::NotTaken { seconds: PATIENCE.as_secs(), why: why.to_owned() })
}
