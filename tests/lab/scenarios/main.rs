//! Real clusters on the lab's machines: `cargo xtask test lab`.

mod claims;
mod clients;
mod combinations;
mod controller_manager;
mod hosts;
mod hypervisor;
mod lives;
mod migrations;
mod operator;
#[allow(dead_code, reason = "the tests of processes use more of it")]
#[path = "../../processes/support/program.rs"]
mod program;
mod requests;
mod rights;
mod room;
#[allow(dead_code, missing_docs, unreachable_pub, reason = "libvirt's own tests use more of it")]
#[path = "../../../providers/libvirt/tests/site/mod.rs"]
mod site;
mod stage;
mod troubles;
mod undo;
mod virtual_machines;
mod whole;
