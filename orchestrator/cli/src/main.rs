//! replank: changes a Kubernetes cluster's pod network from Calico to Flannel by replacing nodes.

mod account;
mod arguments;
mod cluster;
mod commands;
mod config;
mod confirm;
mod demo;
mod exit;
mod failure;
mod logging;
mod machines;
mod output;
mod runs;
mod signals;
mod survey;
mod telling;
mod timeline;
mod wish;

use clap::Parser;
use std::process::ExitCode;

/// The demo's cluster, and an observation of a large real one, are millions of small JSON values:
/// most of what they cost is allocating them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    commands::run(arguments).into()
}
