//! Hosts over ssh as a plugin: calls on stdin, answers on stdout.

use replank_provider_kit::server;
use replank_provider_ssh::SshProvider;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    server::main(Arc::new(SshProvider::default()), server::asked())
}
