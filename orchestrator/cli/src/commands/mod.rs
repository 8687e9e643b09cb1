//! One file a command.

mod apply;
mod check;
mod cloud_init;
mod config;
mod demo;
mod finalize;
mod pause;
mod plan;
mod provider;
mod rbac;
mod resume;
mod rollback;
mod status;

pub(crate) use apply::ApplyArguments;
pub(crate) use check::CheckArguments;
pub(crate) use cloud_init::CloudInitArguments;
pub(crate) use config::ConfigArguments;
pub(crate) use finalize::FinalizeArguments;
pub(crate) use pause::PauseArguments;
pub(crate) use plan::PlanArguments;
pub(crate) use provider::ProviderArguments;
pub(crate) use rbac::RbacArguments;
pub(crate) use resume::ResumeArguments;
pub(crate) use rollback::RollbackArguments;
pub(crate) use status::StatusArguments;

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{logging, output};

/// Runs the command that was asked for.
pub(crate) fn run(arguments: Arguments) -> Exit {
    match arguments.command {
        Command::CloudInit(arguments) => in_real_time(cloud_init::run(&arguments)),
        Command::Config(arguments) => in_real_time(config::run(&arguments)),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Provider(arguments) => provider::run(&arguments),
        Command::Rbac(arguments) => rbac::run(&arguments),
        Command::Check(arguments) => in_real_time(check::run(&arguments)),
        Command::Plan(arguments) => in_real_time(plan::run(&arguments)),
        Command::Apply(arguments) => in_real_time(apply::run(&arguments)),
        Command::Status(arguments) => in_real_time(status::run(&arguments)),
        Command::Pause(arguments) => in_real_time(pause::run(&arguments)),
        Command::Resume(arguments) => in_real_time(resume::run(&arguments)),
        Command::Rollback(arguments) => in_real_time(rollback::run(&arguments)),
        Command::Finalize(arguments) => in_real_time(finalize::run(&arguments)),
    }
}

/// Runs a command that talks to a cluster: unlike the demo's, its time is everyone's.
fn in_real_time(command: impl Future<Output = Result<Exit, Failure>>) -> Exit {
    logging::begin();
    let ended = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| {
            let ended = runtime.block_on(command);
            // What still waits for an answer must not keep the process.
            runtime.shutdown_background();
            ended
        });
    ended.unwrap_or_else(|failure| {
        output::error(&failure);
        failure.exit()
    })
}
