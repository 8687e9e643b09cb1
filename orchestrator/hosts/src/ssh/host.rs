//! The verbs of a host over ssh.

use super::SshSettings;
use super::answer::{Answer, mark, random};
use super::connection::{Said, connect, script};
use crate::{File, Host, HostError, Output, Purpose};
use async_trait::async_trait;
use openssh::Session;
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

const COMMAND: &str = include_str!("command.sh");
const READ: &str = include_str!("read.sh");
const WRITE: &str = include_str!("write.sh");
const REMOVE: &str = include_str!("remove.sh");

/// Where a host keeps what commands under a name did: it survives a reboot.
const CHANGES: &str = "/var/lib/replank/operations";

/// Where a host keeps the output of a command that only reads, until it is fetched.
const LOOKS: &str = "/run/replank";

/// How long one question waits for a command's end, in seconds: shorter than firewalls forget a silent connection.
const WAIT: &str = "20";

/// How soon a host that can't be reached is tried again, at first: nothing tells that it is back.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// How late it is tried again at most.
const LAST_PAUSE: Duration = Duration::from_secs(3);

/// A host over ssh: one connection, made when it is first needed and again when it was lost.
pub struct SshHost {
    settings: SshSettings,
    /// Held for the whole of a verb, on purpose: commands to one host run one after the other.
    session: Mutex<Option<Session>>,
}

impl SshHost {
    /// A host. Nothing is connected yet.
    pub fn new(settings: SshSettings) -> Self {
        Self { settings, session: Mutex::new(None) }
    }

    /// Ends the connection. The host can be used again, with a new one.
    pub async fn close(&self) {
        let ended = self.session.lock().await.take();
        if let Some(session) = ended {
            // A connection that is gone already is closed.
            let _ = session.close().await;
        }
    }

    fn host(&self) -> String {
        self.settings.destination.clone()
    }

    fn refused(&self, action: String, reason: String) -> HostError {
        let reason = if reason.contains("sudo:") {
            format!("{reason}; the user needs sudo without a password (NOPASSWD), or log in as root")
        } else {
            reason
        };
        HostError::Refused { host: self.host(), action, reason }
    }

    /// Runs a script until it was heard to its end. Every script can be repeated.
    async fn hear<T>(
        &self,
        session: &mut Option<Session>,
        action: &str,
        source: &str,
        arguments: &[&str],
        input: &[u8],
        understand: impl Fn(&Answer<'_>) -> Option<T>,
    ) -> Result<T, HostError> {
        let mut lost_since = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let reason = match self.try_once(session, source, arguments, input, &understand).await {
                Ok(Ok(heard)) => return Ok(heard),
                Ok(Err(complaint)) => return Err(self.refused(action.to_owned(), complaint)),
                Err(HostError::Unreachable { reason, .. }) => reason,
                Err(error) => return Err(error),
            };
            // What is left of a connection that was lost is of no use.
            drop(session.take());
            if lost_since.get_or_insert_with(Instant::now).elapsed() >= self.settings.patience {
                return Err(HostError::Unreachable { host: self.host(), reason });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn try_once<T>(
        &self,
        session: &mut Option<Session>,
        source: &str,
        arguments: &[&str],
        input: &[u8],
        understand: impl Fn(&Answer<'_>) -> Option<T>,
    ) -> Result<Result<T, String>, HostError> {
        let live = match session {
            Some(live) => live,
            None => session.insert(connect(&self.settings).await?),
        };
        let mark = mark();
        let arguments: Vec<&str> = std::iter::once(mark.as_str()).chain(arguments.iter().copied()).collect();
        let reason = match script(live, source, &arguments, input).await {
            Said::Printed(bytes) => match Answer::find(&bytes, &mark).as_ref().and_then(understand) {
                Some(heard) => return Ok(Ok(heard)),
                None => "its answer was cut off".to_owned(),
            },
            // A connection that broke ends with a status of ssh's own, which looks like the script's.
            Said::Complained(complaint) => match live.check().await {
                Ok(()) => return Ok(Err(complaint)),
                Err(error) => error.to_string(),
            },
            Said::Lost(reason) => reason,
        };
        Err(HostError::Unreachable { host: self.host(), reason })
    }
}

/// How far a command has come.
enum Progress {
    Ended(Output),
    Running,
    Interrupted,
    Other,
}

impl Progress {
    fn understand(answer: &Answer<'_>) -> Option<Self> {
        match answer.words() {
            ["ended", status, out, err] => answer.output(status, out, err).map(Self::Ended),
            ["running"] => Some(Self::Running),
            ["interrupted"] => Some(Self::Interrupted),
            ["other"] => Some(Self::Other),
            _ => None,
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// One digest of a command and its input; lengths keep `a b` and `ab` apart.
fn request(argv: &[&str], input: &[u8]) -> String {
    let mut digest = Sha256::new();
    for part in argv.iter().map(|w| w.as_bytes()).chain([input]) {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize())
}

#[async_trait]
impl Host for SshHost {
    fn name(&self) -> &str {
        &self.settings.destination
    }

    async fn run(
        &self,
        purpose: Purpose<'_>,
        argv: &[&str],
        stdin: Option<&[u8]>,
    ) -> Result<Output, HostError> {
        let input = stdin.unwrap_or_default();
        let (folder, after, operation) = match purpose {
            Purpose::Look => (format!("{LOOKS}/{:016x}", random()), "forget", "a look"),
            Purpose::Change(name) => (format!("{CHANGES}/{}", &sha256(name.as_bytes())[..32]), "keep", name),
        };
        let (digest, length) = (request(argv, input), input.len().to_string());
        let fixed = [folder.as_str(), after, &digest, &length, WAIT];
        let arguments: Vec<&str> = fixed.into_iter().chain(argv.iter().copied()).collect();
        let action = format!("`{}`", argv.first().unwrap_or(&""));
        let mut session = self.session.lock().await;
        loop {
            let heard =
                self.hear(&mut session, &action, COMMAND, &arguments, input, Progress::understand).await?;
            let operation = || operation.to_owned();
            match heard {
                Progress::Ended(output) => return Ok(output),
                // The question itself waits on the host.
                Progress::Running => {}
                Progress::Interrupted => {
                    return Err(HostError::Interrupted { host: self.host(), operation: operation() });
                }
                Progress::Other => {
                    return Err(HostError::OtherCommand { host: self.host(), operation: operation() });
                }
            }
        }
    }

    async fn read(&self, path: &str) -> Result<Option<File>, HostError> {
        let mut session = self.session.lock().await;
        let understand = |answer: &Answer<'_>| match answer.words() {
            ["none"] => Some(None),
            ["file", mode, size] => {
                let mode = u32::from_str_radix(mode, 8).ok()?;
                Some(Some(File { content: answer.bytes(size)?.to_vec(), mode }))
            }
            _ => None,
        };
        self.hear(&mut session, &format!("reading {path}"), READ, &[path], &[], understand).await
    }

    async fn write_atomic(&self, path: &str, file: &File) -> Result<(), HostError> {
        let mut session = self.session.lock().await;
        let (mode, length) = (format!("{:o}", file.mode), file.content.len().to_string());
        let arguments = [path, &mode, &length, &sha256(&file.content)];
        let understand = |answer: &Answer<'_>| (answer.words() == ["written"]).then_some(());
        self.hear(&mut session, &format!("writing {path}"), WRITE, &arguments, &file.content, understand)
            .await
    }

    async fn remove(&self, path: &str) -> Result<(), HostError> {
        let mut session = self.session.lock().await;
        let understand = |answer: &Answer<'_>| (answer.words() == ["removed"]).then_some(());
        self.hear(&mut session, &format!("removing {path}"), REMOVE, &[path], &[], understand).await
    }
}
