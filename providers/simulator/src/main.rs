//! The provider of the embedded cluster's machines as a plugin: calls on stdin, answers on stdout.

use replank_provider_kit::server;
use replank_provider_simulator::SimulatorProvider;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    // Another provider that a dependency chose first serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    server::main(Arc::new(SimulatorProvider::unconnected()), server::asked())
}
