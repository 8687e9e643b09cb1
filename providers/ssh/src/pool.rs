//! Hosts, and the leases on them.

use crate::settings::{HostSettings, Settings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use replank_hosts::{Host as _, HostError, Output, Purpose, SshHost, SshSettings};
use replank_provider_protocol::{ErrorCode, Machine, MachineId, MachineState, ProviderError, Role, RunId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

const TAKE: &str = include_str!("take.sh");
const LOOK: &str = include_str!("look.sh");
const RELET: &str = include_str!("relet.sh");

/// For how long a host may be out of reach within one call, which must not last over 30 s.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many hosts are looked at at once: each is a process of ssh here.
const LOOKS: usize = 16;

/// How long a command on a host is waited for within one call; it runs on, and is found when asked again.
const CALL: Duration = Duration::from_secs(25);

/// Who has a host, as the file on it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// The machine's id: another one every time that the host is leased.
    pub id: MachineId,
    /// The cluster's uid.
    pub cluster: String,
    /// The run.
    pub run: RunId,
    /// The machine's name, which is its Node's.
    pub node: String,
    /// What it is for.
    pub role: Role,
    /// The labels that were asked for.
    pub labels: BTreeMap<String, String>,
}

/// Whether a host was a node before replank came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of the cluster's own.
    Own,
    /// One of the pool.
    Spare,
}

/// A host that the settings name.
pub struct Member {
    /// Its name in the settings.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    address: Option<IpAddr>,
    host: SshHost,
}

/// A host as it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Who has it, if anybody.
    pub lease: Option<Lease>,
    state: Option<MachineState>,
    bootstrap: Bootstrap,
    system_uuid: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bootstrap {
    Running,
    Ended(i32),
    Lost,
}

impl Seen {
    /// Whether its kubelet reports this system UUID.
    pub fn is(&self, uuid: &str) -> bool {
        self.system_uuid.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(uuid))
    }
}

impl Member {
    fn new(name: &str, kind: Kind, host: &HostSettings, settings: &Settings) -> Self {
        let destination = host.destination.clone().unwrap_or_else(|| name.to_owned());
        let ssh = SshSettings { destination, config: settings.ssh_config.clone(), patience: PATIENCE };
        Self { name: name.into(), kind, address: host.address, host: SshHost::new(ssh) }
    }

    /// The host itself.
    pub fn host(&self) -> &SshHost {
        &self.host
    }

    /// Whether it has this address.
    pub fn has_address(&self, addresses: &[String]) -> bool {
        self.address.is_some_and(|own| addresses.iter().any(|a| a.parse() == Ok(own)))
    }

    /// Runs a command and waits for it as long as a call may last.
    ///
    /// # Errors
    /// When the host can't be used, or the command still runs: then asking again finds it.
    pub async fn run(
        &self,
        purpose: Purpose<'_>,
        argv: &[&str],
        stdin: Option<&[u8]>,
    ) -> Result<Output, ProviderError> {
        match tokio::time::timeout(CALL, self.host.run(purpose, argv, stdin)).await {
            Ok(ended) => ended.map_err(failure),
            Err(_) => {
                let message =
                    format!("`{}` still runs on {}; ask again", argv.first().unwrap_or(&""), self.name);
                Err(ProviderError::passing(ErrorCode::Unavailable, message))
            }
        }
    }

    /// Runs a script that must succeed, and gives what it printed.
    ///
    /// # Errors
    /// As [`Self::run`], and when it fails.
    pub async fn script(
        &self,
        purpose: Purpose<'_>,
        what: &str,
        script: &str,
        arguments: &[&str],
    ) -> Result<String, ProviderError> {
        let argv: Vec<&str> =
            ["sh", "-c", script, "sh"].into_iter().chain(arguments.iter().copied()).collect();
        self.must(purpose, what, &argv).await
    }

    /// Runs a command that must succeed, and gives what it printed.
    ///
    /// # Errors
    /// As [`Self::run`], and when it fails.
    pub async fn must(
        &self,
        purpose: Purpose<'_>,
        what: &str,
        argv: &[&str],
    ) -> Result<String, ProviderError> {
        let output = self.run(purpose, argv, None).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status == 0 {
            return Ok(text(&output.stdout));
        }
        let message = format!(
            "{what} on {} ended with status {}: {}; look at the host",
            self.name,
            output.status,
            text(if output.stderr.is_empty() { &output.stdout } else { &output.stderr })
        );
        Err(ProviderError::lasting(ErrorCode::Internal, message))
    }

    /// The host as it is now.
    ///
    /// # Errors
    /// When it can't be used or says what can't be understood.
    pub async fn look(&self) -> Result<Seen, ProviderError> {
        let said = self.script(Purpose::Look, "a look", LOOK, &[]).await?;
        let mut lines = said.lines();
        let mut line = || lines.next().unwrap_or_default();
        let lease = self.lease(line())?;
        let state = match line() {
            "retired" => None,
            "stopped" => Some(MachineState::Stopped),
            _ => Some(MachineState::Running),
        };
        let bootstrap = match line() {
            "running" => Bootstrap::Running,
            status => status.parse().map_or(Bootstrap::Lost, Bootstrap::Ended),
        };
        let system_uuid = Some(line()).filter(|id| !id.is_empty() && *id != "-").map(str::to_owned);
        Ok(Seen { lease, state, bootstrap, system_uuid })
    }

    fn lease(&self, text: &str) -> Result<Option<Lease>, ProviderError> {
        serde_json::from_str(text).map_err(|error| {
            let message = format!("/var/lib/replank/lease on {} is no lease: {error}", self.name);
            ProviderError::lasting(ErrorCode::Internal, message)
        })
    }

    /// Takes the host, if nobody has it: who has it then.
    ///
    /// # Errors
    /// When it can't be used.
    pub async fn take(&self, lease: &Lease) -> Result<Option<Lease>, ProviderError> {
        let text = serde_json::to_string(lease)
            .map_err(|e| ProviderError::lasting(ErrorCode::Internal, e.to_string()))?;
        let said = self.script(Purpose::Look, "the lease", TAKE, &[&text]).await?;
        self.lease(&said)
    }

    /// Gives it another lease, in the place of the one that it has.
    ///
    /// # Errors
    /// When it can't be used.
    pub async fn relet(&self, lease: &Lease) -> Result<(), ProviderError> {
        let text = serde_json::to_string(lease)
            .map_err(|e| ProviderError::lasting(ErrorCode::Internal, e.to_string()))?;
        self.script(Purpose::Look, "the lease", RELET, &[&text]).await.map(drop)
    }

    /// Whether a machine's id names this host: its own name, where it was the cluster's before, or with a lease's.
    fn is_named_by(&self, id: &MachineId) -> bool {
        let leased = id.as_str().rsplit_once('.').is_some_and(|(host, _)| host == self.name);
        leased || (self.kind == Kind::Own && id.as_str() == self.name)
    }

    /// It as a machine, unless it is none: a spare that nobody has, or a host that was retired.
    pub fn machine(&self, seen: &Seen) -> Option<Machine> {
        let state = match (seen.state?, seen.bootstrap, &seen.lease) {
            (MachineState::Running, Bootstrap::Lost, Some(_)) => MachineState::Failed,
            (MachineState::Running, Bootstrap::Ended(status), Some(_)) if status != 0 => MachineState::Failed,
            (state, ..) => state,
        };
        let (id, name, run, labels) = match (self.kind, &seen.lease) {
            (Kind::Own, None) => (MachineId::new(&self.name), self.name.clone(), None, BTreeMap::new()),
            (_, Some(lease)) => {
                (lease.id.clone(), lease.node.clone(), Some(lease.run.clone()), lease.labels.clone())
            }
            (Kind::Spare, None) => return None,
        };
        Some(Machine {
            id,
            name,
            state,
            provider_id: None,
            system_uuid: seen.system_uuid.clone(),
            addresses: self.address.into_iter().collect(),
            run,
            labels,
        })
    }
}

/// Every host of the settings.
pub struct Pool(Vec<Member>);

impl Pool {
    /// The hosts that the settings name.
    pub fn new(settings: &Settings) -> Self {
        let own = settings.hosts.iter().map(|(name, host)| Member::new(name, Kind::Own, host, settings));
        let spare = settings.spares.iter().map(|(name, host)| Member::new(name, Kind::Spare, host, settings));
        Self(own.chain(spare).collect())
    }

    /// All of them, or those of one kind.
    pub fn members(&self, kind: Option<Kind>) -> impl Iterator<Item = &Member> {
        self.0.iter().filter(move |m| kind.is_none_or(|k| m.kind == k))
    }

    /// Every host of a kind as it is now.
    ///
    /// # Errors
    /// When one of them can't be used: it may be leased.
    pub async fn look(&self, kind: Kind) -> Result<Vec<(&Member, Seen)>, ProviderError> {
        let looks: Vec<_> =
            self.members(Some(kind)).map(|m| m.look().map_ok(move |seen| (m, seen)).boxed()).collect();
        futures::stream::iter(looks).buffered(LOOKS).try_collect().await
    }

    /// The cluster's own host that a machine is or was.
    pub fn own(&self, id: &MachineId) -> Option<&Member> {
        self.members(Some(Kind::Own)).find(|m| m.is_named_by(id))
    }

    /// The host of a machine, and the machine as it is now.
    ///
    /// # Errors
    /// When there is none, or its host can't be used.
    pub async fn machine(&self, id: &MachineId) -> Result<(&Member, Machine), ProviderError> {
        let none = || ProviderError::lasting(ErrorCode::NotFound, format!("there is no machine {id}"));
        let member = self.0.iter().find(|m| m.is_named_by(id)).ok_or_else(none)?;
        let machine = member.machine(&member.look().await?).filter(|m| m.id == *id).ok_or_else(none)?;
        Ok((member, machine))
    }
}

/// A host's refusal, as the protocol tells it.
pub fn failure(error: HostError) -> ProviderError {
    let message = error.to_string();
    match error {
        HostError::Unreachable { .. } => ProviderError::passing(ErrorCode::Unavailable, message),
        HostError::Refused { .. } | HostError::HostKey { .. } => {
            ProviderError::lasting(ErrorCode::Denied, message)
        }
        HostError::OtherCommand { .. } => ProviderError::lasting(ErrorCode::AlreadyExists, message),
        HostError::Interrupted { .. } => ProviderError::lasting(ErrorCode::Internal, message),
    }
}

/// Base64, or a sentence.
///
/// # Errors
/// When it is none.
pub fn decode(what: &str, text: &str) -> Result<Vec<u8>, ProviderError> {
    let invalid = |_| ProviderError::lasting(ErrorCode::Invalid, format!("{what} is not base64"));
    STANDARD.decode(text).map_err(invalid)
}
