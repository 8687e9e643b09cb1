//! `replank config`.

use crate::config;
use crate::exit::Exit;
use crate::output;
use clap::{Args, Subcommand};

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
    /// Prints a commented configuration file to start from.
    Init,
}

/// Runs it.
pub(crate) fn run(arguments: &ConfigArguments) -> Exit {
    match arguments.command {
        ConfigCommand::Schema => match serde_json::to_string_pretty(&config::schema()) {
            Ok(text) => output::data(&text),
            Err(error) => {
                output::error(&error);
                return Exit::Failed;
            }
        },
        ConfigCommand::Init => output::data(config::starting_file().trim_end()),
    }
    Exit::Done
}
