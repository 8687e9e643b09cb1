//! What every way to a host offers, and how it says no.

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

/// Whether a command may run a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// It only reads: where an answer was lost it runs again.
    Look,
    /// It changes something, once, under this name: asked again, even by another process, it gives the
    /// output of the first time.
    Change(&'a str),
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
    /// The host did not prove that it is the one it was. Nothing was sent to it.
    #[error("host {host} did not prove who it is: {problem}")]
    HostKey {
        /// The host's name.
        host: String,
        /// What is wrong with its key, and what to do.
        problem: KeyProblem,
    },
    /// A command began and never ended: its host went down, or it was killed with all that watched it.
    #[error(
        "operation {operation} began on host {host} and was interrupted; whether it had its effect is not \
         known: look at the host, then ask under another name"
    )]
    Interrupted {
        /// The host's name.
        host: String,
        /// The name it ran under.
        operation: String,
    },
    /// The name of an operation is taken by another command.
    #[error("operation {operation} is known to host {host} with another command: ask under another name")]
    OtherCommand {
        /// The host's name.
        host: String,
        /// The name.
        operation: String,
    },
}

/// What is wrong with the key that a host showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// No key of this host is known.
    #[error(
        "its key is in no known_hosts file; compare its fingerprint with the host's own (`ssh-keygen -lf \
         /etc/ssh/ssh_host_ed25519_key.pub` there), then accept it by logging in once with ssh"
    )]
    Unknown,
    /// Another key of this host is known.
    #[error(
        "its key is not the one in known_hosts: somebody may stand between, or the host was installed anew; \
         if you know that it was, forget the old key with `ssh-keygen -R HOST` and accept the new one by \
         logging in once with ssh"
    )]
    Changed,
}

/// Commands and files of one host, as root.
#[async_trait]
pub trait Host: Send + Sync {
    /// The host's name, for messages.
    fn name(&self) -> &str;

    /// Runs a program to its end, without a shell. The arguments are no place for secrets: every user of
    /// the host can see them.
    ///
    /// # Errors
    /// When the host can't be reached or refuses, or lost the command on its way; a failing program is
    /// not an error.
    async fn run(
        &self,
        purpose: Purpose<'_>,
        argv: &[&str],
        stdin: Option<&[u8]>,
    ) -> Result<Output, HostError>;

    /// Reads a file; `None` if there is none at that path.
    ///
    /// # Errors
    /// When the host can't be reached or refuses.
    async fn read(&self, path: &str) -> Result<Option<File>, HostError>;

    /// Replaces a file as a whole: a reader sees the old one or the new one, and who watches its folder
    /// sees no other file. It has the given mode, and the owner that it had.
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
