//! A plugin as a [`crate::Provider`]: its process is started, watched and restarted here, and
//! nothing that it sends is trusted.
//!
//! - [`fault`]: how a plugin can break the protocol, each with its sentence.
//! - [`process`]: the child process with its pipes.
//! - [`pending`]: calls that wait for their answers.
//! - [`clean`]: an answer made fit for terminal and journal.
//! - [`connection`]: the task that owns both and matches answers to calls.
//! - [`provider`]: the verbs as calls.

mod clean;
mod connection;
pub mod fault;
mod pending;
mod process;
mod provider;

pub use fault::PluginFault;
pub use provider::{PluginProvider, StartError};
