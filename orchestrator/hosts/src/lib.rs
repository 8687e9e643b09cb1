//! Access to the hosts that machines run: one trait, several ways.
//!
//! - [`host`]: what every way offers.
//! - [`ssh`]: the system's ssh, as the user has set it up.

pub mod host;
pub mod ssh;

pub use host::{File, Host, HostError, KeyProblem, Output, Purpose};
pub use ssh::{SshHost, SshSettings};
