//! How a host is reached.

use std::path::PathBuf;
use std::time::Duration;

/// How a host is reached. What is not said here is the user's ssh configuration's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSettings {
    /// What `ssh` is given: `host`, `user@host` or `ssh://user@host:port`; the host may be an alias.
    pub destination: String,
    /// A configuration file in the place of the user's own.
    pub config: Option<PathBuf>,
    /// For how long a host that can't be reached is tried again before it is an error.
    pub patience: Duration,
}

impl SshSettings {
    /// A destination, with the user's own configuration.
    pub fn new(destination: impl Into<String>) -> Self {
        Self { destination: destination.into(), config: None, patience: Duration::from_secs(60) }
    }
}
