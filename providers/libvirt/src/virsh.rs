//! libvirt's own client, run as a program.
//!
//! It ends with status 1 for "no such domain" and for "no connection" alike: whoever needs to know asks for
//! the list of domains, which fails without a connection only.

use replank_provider_protocol::{ErrorCode, ProviderError};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::Semaphore;

/// How long one command may take. A whole call must end within 30 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many commands run at once: each is a connection, of which libvirtd serves 20 at a time.
const AT_ONCE: usize = 8;

/// Why a command had no effect.
#[derive(Debug, thiserror::Error)]
pub enum VirshError {
    /// There is no such program.
    #[error("virsh could not be started: {0}; install libvirt-clients on this computer")]
    Start(std::io::Error),
    /// What it is given goes by a file, which could not be written.
    #[error("a temporary file could not be written: {0}")]
    File(std::io::Error),
    /// It hung.
    #[error("`virsh {command}` gave no answer within {} s", PATIENCE.as_secs())]
    Late {
        /// The command's name.
        command: String,
    },
    /// It refused.
    #[error("`virsh {command}` failed: {said}")]
    Failed {
        /// The command's name.
        command: String,
        /// What it said.
        said: String,
    },
}

/// libvirt's client on one connection's address.
#[derive(Debug)]
pub struct Virsh {
    uri: String,
    turns: Semaphore,
}

impl Virsh {
    /// The client for an address.
    pub fn new(uri: impl Into<String>) -> Self {
        Self { uri: uri.into(), turns: Semaphore::new(AT_ONCE) }
    }

    /// Where it goes.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Runs a command, which must succeed: what it printed.
    ///
    /// # Errors
    /// When it fails or gives no answer.
    pub async fn run(&self, words: &[&str]) -> Result<String, VirshError> {
        let output = self.output(words).await?;
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        let command = words.first().copied().unwrap_or_default().to_owned();
        Err(VirshError::Failed { command, said: said(&output) })
    }

    /// Runs several commands in one process, whatever becomes of each: what they printed. Words must not need
    /// quotes.
    ///
    /// # Errors
    /// When it gives no answer.
    pub async fn lines(&self, commands: &[String]) -> Result<String, VirshError> {
        Ok(text(&self.output(&[&commands.join("; ")]).await?.stdout))
    }

    async fn output(&self, words: &[&str]) -> Result<Output, VirshError> {
        // Never closed.
        let _turn = self.turns.acquire().await;
        let mut virsh = Command::new("virsh");
        virsh.args(["--quiet", "--connect", &self.uri]).args(words);
        // Words of its answers are read.
        virsh.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = virsh.kill_on_drop(true).spawn().map_err(VirshError::Start)?;
        let output = match tokio::time::timeout(PATIENCE, child.wait_with_output()).await {
            Ok(output) => output.map_err(VirshError::Start)?,
            Err(_) => {
                let command = words.first().copied().unwrap_or_default();
                let command = command.split(' ').next().unwrap_or_default().to_owned();
                return Err(VirshError::Late { command });
            }
        };
        tracing::debug!(?words, status = ?output.status.code(), "virsh");
        Ok(output)
    }
}

impl VirshError {
    /// Whether its words hold one of these.
    pub fn says(&self, parts: &[&str]) -> bool {
        matches!(self, Self::Failed { said, .. } if parts.iter().any(|part| said.contains(part)))
    }

    /// The host is full.
    fn is_for_lack_of_room(&self) -> bool {
        self.says(&["Cannot allocate memory", "cannot allocate memory", "No space left on device"])
    }
}

impl From<VirshError> for ProviderError {
    fn from(error: VirshError) -> Self {
        let message = error.to_string();
        match error {
            VirshError::Start(_) => Self::lasting(ErrorCode::Unavailable, message),
            VirshError::File(_) => Self::lasting(ErrorCode::Internal, message),
            VirshError::Late { .. } => Self::passing(ErrorCode::Unavailable, message),
            error if error.is_for_lack_of_room() => Self::passing(ErrorCode::Exhausted, message),
            // The state has changed under the command, or libvirt was restarted.
            error
                if error.says(&[
                    "failed to connect",
                    "Disconnected",
                    "End of file while reading data",
                    "cannot acquire state change lock",
                    "is being allocated",
                    "domain is already",
                    "domain is not running",
                ]) =>
            {
                Self::passing(ErrorCode::Unavailable, message)
            }
            VirshError::Failed { .. } => Self::lasting(ErrorCode::Internal, message),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

/// What it said, in one line.
fn said(output: &Output) -> String {
    let lines = text(&output.stderr);
    let lines = lines.lines().map(|line| line.trim_start_matches("error: ").trim()).filter(|l| !l.is_empty());
    lines.collect::<Vec<_>>().join(": ")
}
