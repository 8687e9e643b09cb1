//! Real clusters on the lab's machines: `cargo xtask test lab`.

mod claims;
mod clients;
mod controller_manager;
mod lives;
mod migrations;
mod operator;
#[allow(dead_code, reason = "the tests of processes use more of it")]
#[path = "../../processes/support/program.rs"]
mod program;
mod requests;
mod rights;
mod stage;
mod troubles;
mod undo;
mod whole;
