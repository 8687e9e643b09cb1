//! Hosts over the system's ssh: its configuration, agent, jump hosts and known hosts are the user's own.
//!
//! - [`settings`]: how a host is reached.
//! - [`connection`]: one connection, and why there is none.
//! - [`host`]: the verbs.
//! - [`answer`]: what the scripts on the host say.
//!
//! The scripts beside these files are what runs on a host. A command runs apart from its connection, with
//! its output and status in files under its name, so that a connection that is lost in the middle is made
//! again and the command found, not repeated.

mod answer;
mod connection;
mod host;
mod settings;

pub use host::SshHost;
pub use settings::SshSettings;
