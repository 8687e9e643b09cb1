//! One file a command.

mod demo;
mod provider;

pub(crate) use provider::ProviderArguments;

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;

/// Runs the command that was asked for.
pub(crate) fn run(arguments: Arguments) -> Exit {
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Provider(arguments) => provider::run(&arguments),
    }
}
