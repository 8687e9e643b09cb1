//! Hosts over ssh as machines: a pool of spares that are leased.
//!
//! - [`settings`]: which hosts there are, and how they are reached.
//! - [`provider`]: the verbs.
//! - [`pool`]: hosts, and the leases on them.
//! - `rejoin`: the same host once more, where there is no spare.
//! - [`bootstrap`]: user-data as a plain script.
//!
//! `clean.sh` takes Calico's leftovers off a host.

pub mod bootstrap;
pub mod pool;
pub mod provider;
mod rejoin;
pub mod settings;

pub use provider::SshProvider;

/// The script that takes Calico's leftovers off a host, and nothing else.
pub const CLEAN: &str = include_str!("clean.sh");
