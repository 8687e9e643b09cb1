//! replank: changes a Kubernetes cluster's pod network from Calico to Flannel by replacing nodes.

mod arguments;
mod commands;
mod demo;
mod exit;
mod output;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    commands::run(arguments).into()
}
