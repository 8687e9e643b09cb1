//! Virtual machines of libvirt as a plugin: calls on stdin, answers on stdout.

use replank_provider_kit::server;
use replank_provider_libvirt::LibvirtProvider;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    server::main(Arc::new(LibvirtProvider::default()), server::asked())
}
