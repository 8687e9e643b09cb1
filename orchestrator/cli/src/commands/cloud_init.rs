//! `replank cloud-init`: what new machines are told at their first boot.

use super::{apply, plan};
use crate::cluster::ClusterArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::wish::WishArguments;
use clap::{Args, Subcommand, ValueEnum};
use replank_cloud_init::{Form, Limit, Secret, UserData};
use replank_execution::RunDir;
use replank_execution::api::Api;
use replank_execution::steps::create_machine::{shape, token};
use replank_planning::plan::{Plan, Slot};
use replank_provider_protocol::Role;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The commands below `replank cloud-init`.
#[derive(Debug, Args)]
pub(crate) struct CloudInitArguments {
    #[command(subcommand)]
    command: CloudInitCommand,
}

#[derive(Debug, Subcommand)]
enum CloudInitCommand {
    /// Shows what the replacement of a node would be given. Nothing is made for it: secrets are placeholders.
    Render(Box<RenderArguments>),
}

/// The flags of `replank cloud-init render`.
#[derive(Debug, Args)]
struct RenderArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The node that is replaced.
    #[arg(long, value_name = "NODE")]
    node: String,
    /// The plan that says by what; without it one is made of the flags, or of the configuration file.
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["provider", "config"])]
    plan: Option<PathBuf>,
    /// The provider of machines: a name, or the path of its executable.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    #[command(flatten)]
    wish: WishArguments,
    /// The form; without it the simplest that holds everything, as machines are given it.
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<FormName>,
    /// Shows the bootstrap token of a run's machine in the place of the placeholder, while it lives.
    #[arg(long, requires = "run_dir")]
    show_secrets: bool,
    /// The run whose machine it is.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
}

/// A form, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormName {
    /// One document: there must be no scripts.
    CloudConfig,
    /// MIME multi-part.
    Mime,
    /// The usual form, packed; bytes, not text.
    Gzip,
}

/// Shows user-data; changes nothing.
pub(super) async fn run(arguments: &CloudInitArguments) -> Result<Exit, Failure> {
    let CloudInitCommand::Render(arguments) = &arguments.command;
    let plan = match &arguments.plan {
        Some(path) => apply::read(path)?,
        None => plan::made(&arguments.cluster, &arguments.wish, arguments.provider.as_deref()).await?,
    };
    let api = Api::new(arguments.cluster.connect().await?.client);
    let token = match (&arguments.run_dir, arguments.show_secrets) {
        (Some(path), true) => living_token(&api, path, &arguments.node).await?,
        _ => None,
    };
    let user_data = shape::preview(&api, &plan, &arguments.node, token).await?;
    let form = match arguments.format {
        None => user_data.usual(),
        Some(FormName::CloudConfig) => Form::CloudConfig,
        Some(FormName::Mime) => Form::Mime,
        Some(FormName::Gzip) => Form::Gzip,
    };
    let bytes = user_data.render(form)?;
    tell(&plan, &arguments.node, &user_data, &bytes);
    let mut out = std::io::stdout().lock();
    out.write_all(&bytes)?;
    out.flush()?;
    Ok(Exit::Done)
}

/// What the bytes don't say.
fn tell(plan: &Plan, node: &str, user_data: &UserData, bytes: &[u8]) {
    let count = bytes.len();
    if Limit::Ec2.check(bytes).is_ok() {
        output::say(&format!("{count} bytes; EC2 takes at most {}", Limit::Ec2.bytes()));
    } else {
        let packed = user_data.render(Form::Gzip).map_or(0, |packed| packed.len());
        let most = Limit::Ec2.bytes();
        output::say(&format!(
            "{count} bytes, too many for EC2, which takes {most}; packed they are {packed}"
        ));
    }
    if plan.slots.iter().any(|slot| is(slot, node) && slot.role == Role::ControlPlane) {
        output::say(
            "what the old control plane's host has beside kubeadm's own is read when the machine is made; it is not \
             shown here",
        );
    }
}

fn is(slot: &Slot, node: &str) -> bool {
    slot.old.name.as_str() == node || slot.new.machine_name == node
}

/// The token of a run's machine, if it was made and lives.
async fn living_token(api: &Api, path: &Path, node: &str) -> Result<Option<Secret>, Failure> {
    let (plan, journalled) = RunDir::look(path)?;
    let slot = plan.slots.iter().find(|slot| is(slot, node));
    let state = journalled.map(|journalled| journalled.state);
    let id = slot.zip(state).and_then(|(slot, state)| state.slots.get(&slot.id)?.token.clone());
    let living = match id {
        Some(id) => token::whole(api, &id).await?,
        None => None,
    };
    if living.is_none() {
        output::say(
            "this machine has no bootstrap token now: it is made with the machine, and goes when it has joined",
        );
    }
    Ok(living)
}
