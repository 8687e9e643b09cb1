//! The provider of the lab's machines as a plugin: calls on stdin, answers on stdout.

use replank_provider_kit::server;
use replank_provider_lab::LabProvider;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    server::main(Arc::new(LabProvider::default()), server::asked())
}
