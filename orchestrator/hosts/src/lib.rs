//! Access to the hosts that machines run: one trait, several ways.

use async_trait::async_trait;

/// The output of a command that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 0 is success.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// A file with its permission bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its permission bits, such as `0o600`.
    pub mode: u32,
}

/// Why a host could not be used. A command that ran and failed is no error: see [`Output::status`].
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The host can't be reached now; trying again may help.
    #[error("host {host} can't be reached: {reason}")]
    Unreachable {
        /// The host's name.
        host: String,
        /// What was seen.
        reason: String,
    },
    /// The host or its access refused; trying again won't help.
    #[error("host {host} refused {action}: {reason}")]
    Refused {
        /// The host's name.
        host: String,
        /// What was tried.
        action: String,
        /// What was seen.
        reason: String,
    },
}

/// Commands and files of one host, as root.
#[async_trait]
pub trait Host: Send + Sync {
    /// The host's name, for messages.
    fn name(&self) -> &str;

    /// Runs a program to its end.
    ///
    /// # Errors
    /// When the host can't be reached or refuses; a failing program is not an error.
    async fn run(&self, argv: &[&str], stdin: Option<&[u8]>) -> Result<Output, HostError>;

    /// Reads a file; `None` if there is none at that path.
    ///
    /// # Errors
    /// When the host can't be reached or refuses.
    async fn read(&self, path: &str) -> Result<Option<File>, HostError>;

    /// Replaces a file as a whole: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// When the host can't be reached or refuses.
    async fn write_atomic(&self, path: &str, file: &File) -> Result<(), HostError>;

    /// Removes a file; fine if there is none.
    ///
    /// # Errors
    /// When the host can't be reached or refuses.
    async fn remove(&self, path: &str) -> Result<(), HostError>;
}
