//! One connection to a host, and why there is none.

use super::SshSettings;
use crate::{HostError, KeyProblem};
use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder, Stdio};
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// How long a host may take to answer a new connection.
const CONNECT: Duration = Duration::from_secs(10);

/// How often a silent host is asked whether it is there; ssh gives it up after three answers that did not come.
const ALIVE: Duration = Duration::from_secs(5);

/// How long the shared connection of a process that was killed stays, in seconds.
const ORPHANED: NonZeroUsize = NonZeroUsize::new(300).expect("not zero");

/// Becomes root: by itself, or by sudo without a password.
const AS_ROOT: &str = r#"if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -n -- "$@"; fi"#;

/// What came of a script.
pub(super) enum Said {
    /// It printed this, and ended well.
    Printed(Vec<u8>),
    /// It ended, with this complaint.
    Complained(String),
    /// The connection was lost before it ended.
    Lost(String),
}

/// Connects, refusing a host that is not known.
pub(super) async fn connect(settings: &SshSettings) -> Result<Session, HostError> {
    let mut builder = SessionBuilder::default();
    builder
        .known_hosts_check(KnownHosts::Strict)
        .control_directory(std::env::temp_dir())
        .control_persist(ControlPersist::IdleFor(ORPHANED))
        .connect_timeout(CONNECT)
        .server_alive_interval(ALIVE);
    if let Some(config) = &settings.config {
        builder.config_file(config);
    }
    builder.connect(&settings.destination).await.map_err(|error| refusal(&settings.destination, &error))
}

fn refusal(host: &str, error: &openssh::Error) -> HostError {
    let host = host.to_owned();
    // The crate's own sentence hides what ssh said.
    let said = match error {
        openssh::Error::Connect(io) | openssh::Error::Master(io) | openssh::Error::Ssh(io) => io.to_string(),
        other => other.to_string(),
    };
    let told = |needle: &str| said.contains(needle);
    if told("IDENTIFICATION HAS CHANGED") {
        return HostError::HostKey { host, problem: KeyProblem::Changed };
    }
    if told("Host key verification failed") || told("host key is known for") {
        return HostError::HostKey { host, problem: KeyProblem::Unknown };
    }
    // Jump hosts tell of themselves in the same words.
    if told("Permission denied") || told("Too many authentication failures") {
        let reason =
            format!("{}; check the user and key for it in your ssh configuration, or the agent", one(&said));
        return HostError::Refused { host, action: "the login".into(), reason };
    }
    if told("Bad configuration option") || told("terminating,") || told("Can't open user config file") {
        let reason = format!("{}; mend the ssh configuration", one(&said));
        return HostError::Refused { host, action: "the connection".into(), reason };
    }
    if let (openssh::Error::Connect(io), true) = (error, told("No such file")) {
        let reason = format!("{io}; is `ssh` installed here?");
        return HostError::Refused { host, action: "the connection".into(), reason };
    }
    HostError::Unreachable { host, reason: one(&said) }
}

/// What ssh said, in one line.
fn one(said: &str) -> String {
    said.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Runs a script as root over a connection.
pub(super) async fn script(session: &Session, script: &str, arguments: &[&str], input: &[u8]) -> Said {
    let mut command = session.command("sh");
    command.args(["-c", AS_ROOT, "sh", "sh", "-c", script, "replank"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn().await {
        Ok(child) => child,
        Err(error) => return Said::Lost(error.to_string()),
    };
    let stdin = child.stdin().take();
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // A script that does not want its input closes it: how it ends tells why.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
        }
    };
    let ((), ended) = tokio::join!(feed, child.wait_with_output());
    match ended {
        Ok(output) if output.status.success() => Said::Printed(output.stdout),
        Ok(output) => Said::Complained(one(&String::from_utf8_lossy(&output.stderr))),
        Err(openssh::Error::Remote(error)) => Said::Complained(error.to_string()),
        Err(error) => Said::Lost(error.to_string()),
    }
}
