//! `replank config`.

use crate::cluster::ClusterArguments;
use crate::config::{self, Seen};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::survey::survey;
use clap::{Args, Subcommand};
use replank_planning::checks::{Consent, Severity};
use replank_planning::intent::{Intent, ProviderChoice};
use replank_planning::planner;
use replank_provider_protocol::Role;

/// The configuration file: its schema, and one to start from.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints the JSON Schema of the configuration file, for editors and checks.
    Schema,
    /// Prints a commented configuration file to start from: with --kubeconfig or --context, one that
    /// fits the cluster there.
    Init(InitArguments),
}

#[derive(Debug, Args)]
struct InitArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The provider of machines: a name, or the path of its executable.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
}

/// Runs it.
pub(super) async fn run(arguments: &ConfigArguments) -> Result<Exit, Failure> {
    match &arguments.command {
        ConfigCommand::Schema => output::document(&config::schema()),
        ConfigCommand::Init(arguments) => {
            let provider = arguments
                .provider
                .as_ref()
                .map(|name| ProviderChoice { name: name.clone(), ..ProviderChoice::default() });
            let seen = match arguments.cluster.is_named() {
                true => Some(look(&arguments.cluster, provider.as_ref()).await?),
                false => None,
            };
            let choice = provider.unwrap_or_default();
            output::data(config::starting_file(&choice.name, seen.as_ref()).trim_end());
        }
    }
    Ok(Exit::Done)
}

async fn look(cluster: &ClusterArguments, provider: Option<&ProviderChoice>) -> Result<Seen, Failure> {
    let state = survey(cluster, provider).await?;
    let assessment = planner::assess(&state, &Intent::default());
    let workers = state.nodes.values().filter(|node| node.role == Role::Worker);
    let consents = assessment.of(Severity::Consent).into_iter();
    Ok(Seen {
        old: assessment.install.as_ref().map(ToString::to_string),
        ranges: assessment.network.map(|network| network.ranges).unwrap_or_default(),
        canary: workers.map(|node| node.name.to_string()).next(),
        consents: consents.map(|f| Consent { code: f.code, object: Some(f.object) }).collect(),
    })
}
