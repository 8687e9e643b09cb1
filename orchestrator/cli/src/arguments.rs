//! The command line.

use crate::demo::DemoArguments;
use clap::{Parser, Subcommand};

/// Changes a Kubernetes cluster's pod network from Calico to Flannel by replacing nodes.
#[derive(Debug, Parser)]
#[command(name = "replank", version, propagate_version = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole story on an embedded cluster: no cluster is needed.
    Demo(Box<DemoArguments>),
    /// Providers: the programs that make, stop and delete machines.
    Provider(crate::commands::ProviderArguments),
}
