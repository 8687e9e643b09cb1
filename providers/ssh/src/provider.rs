//! The verbs.

use crate::pool::{Kind, Lease, Member, Pool, decode, failure};
use crate::settings::Settings;
use crate::{CLEAN, bootstrap};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_hosts::{File, Host as _, Purpose};
use replank_provider_kit::Provider;
use replank_provider_kit::ledger::{Ledger, key};
use replank_provider_protocol::verbs::{
    CreateParams, Deletable, DeleteParams, FindParams, Found, GetParams, HostFile, HostOutput,
    HostReadParams, HostRunParams, HostWriteParams, InitializeParams, InitializeResult, ListParams, Listing,
    MachineParams, MachineSpec, Mutation, Progress, RestoreParams,
};
use replank_provider_protocol::{
    Capabilities, ErrorCode, Keeping, Machine, MachineId, ProviderError, Replacement, Snapshot, SnapshotKind,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::sync::OnceLock;

const BOOTSTRAP: &str = include_str!("bootstrap.sh");
const STOP: &str = include_str!("stop.sh");
const START: &str = include_str!("start.sh");
pub(crate) const RESET: &str = include_str!("reset.sh");

/// Where a host keeps its lease and what else is replank's.
pub(crate) const FOLDER: &str = "/var/lib/replank";

/// Hosts over ssh.
#[derive(Default)]
pub struct SshProvider {
    greeted: OnceLock<Greeted>,
}

pub(crate) struct Greeted {
    pub(crate) settings: Settings,
    pub(crate) pool: Pool,
    ledger: Ledger,
}

impl SshProvider {
    fn greeted(&self) -> Result<&Greeted, ProviderError> {
        let missing = || ProviderError::lasting(ErrorCode::Invalid, "`initialize` comes first");
        self.greeted.get().ok_or_else(missing)
    }
}

fn none_of(what: &str) -> ProviderError {
    ProviderError::lasting(ErrorCode::Invalid, format!("hosts over ssh have no {what}"))
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Where effects are remembered on this computer.
fn state() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    state.unwrap_or_else(|| PathBuf::from("/var/lib")).join("replank/ssh")
}

impl Greeted {
    /// The spare that has this lease, which is taken if nobody has one.
    async fn lease(&self, params: &CreateParams) -> Result<(&Member, Lease), ProviderError> {
        let Mutation { run, cluster, .. } = &params.mutation;
        let tail = key(&params.mutation);
        let lease = |member: &Member| Lease {
            id: MachineId::new(format!("{}.{tail}", member.name)),
            cluster: cluster.clone(),
            run: run.clone(),
            node: params.spec.name.clone(),
            role: params.spec.role,
            labels: params.spec.labels.clone(),
        };
        let seen = self.look(Kind::Spare).await?;
        // A process that died on the way may have taken one already.
        let held = seen.iter().find(|(m, held)| held.as_ref().is_some_and(|h| h.id == lease(m).id));
        if let Some((member, Some(held))) = held {
            return Ok((member, held.clone()));
        }
        if let Some((member, _)) = seen.iter().find(|(_, held)| {
            held.as_ref().is_some_and(|h| h.node == params.spec.name && h.cluster == *cluster)
        }) {
            let message =
                format!("{} is a machine {} already, of another operation", member.name, params.spec.name);
            return Err(ProviderError::lasting(ErrorCode::AlreadyExists, message));
        }
        for (member, _) in seen.iter().filter(|(_, held)| held.is_none()) {
            let wanted = lease(member);
            if member.take(&wanted).await?.as_ref() == Some(&wanted) {
                return Ok((member, wanted));
            }
        }
        let message = format!(
            "no spare host is free: all {} are leased; add one to `spares`, or give one back with \
             `replank provider gc` or `replank finalize`",
            seen.len()
        );
        Err(ProviderError::lasting(ErrorCode::Exhausted, message))
    }

    /// Every host of a kind with its lease. One that can't be reached is an error: it may be leased.
    async fn look(&self, kind: Kind) -> Result<Vec<(&Member, Option<Lease>)>, ProviderError> {
        Ok(self.pool.look(kind).await?.into_iter().map(|(m, seen)| (m, seen.lease)).collect())
    }

    async fn create(&self, params: &CreateParams) -> Result<MachineId, ProviderError> {
        let script = bootstrap::script(&decode("the user-data", &params.user_data)?)?;
        let (member, lease) =
            if self.settings.in_place { self.rejoin(params).await? } else { self.lease(params).await? };
        // In memory: it holds the join token. What arrives is compared with its checksum before it is one.
        let path = format!("/run/replank-bootstrap-{}.sh", key(&params.mutation));
        let file = File { content: script.into_bytes(), mode: 0o600 };
        member.host().write_atomic(&path, &file).await.map_err(failure)?;
        let begin = format!("{}/bootstrap", lease.id);
        member.script(Purpose::Change(&begin), "the start of the bootstrap", BOOTSTRAP, &[&path]).await?;
        Ok(lease.id)
    }

    /// Runs one of the commands that the settings may replace.
    pub(crate) async fn command(
        &self,
        member: &Member,
        operation: &str,
        own: Option<&Vec<String>>,
        usual: &str,
    ) -> Result<(), ProviderError> {
        let name = format!("{operation}/command");
        let own: Option<Vec<&str>> = own.map(|words| words.iter().map(String::as_str).collect());
        let argv = own.unwrap_or_else(|| vec!["sh", "-c", usual]);
        member.must(Purpose::Change(&name), "a command of the provider", &argv).await.map(drop)
    }

    /// Takes a machine out of service or into it again.
    async fn switch(
        &self,
        params: &MachineParams,
        verb: &str,
        own: Option<&Vec<String>>,
        usual: &str,
        mark: &str,
    ) -> Result<Machine, ProviderError> {
        let (member, _) = self.pool.machine(&params.machine).await?;
        let work = async {
            self.command(member, &format!("{}/{verb}", key(&params.mutation)), own, usual).await?;
            member.script(Purpose::Look, "a mark", mark, &[FOLDER]).await
        };
        self.ledger.once(&params.mutation, verb, json!([params.machine]), work).await?;
        Ok(self.pool.machine(&params.machine).await?.1)
    }

    async fn delete(&self, mutation: &Mutation, id: &MachineId) -> Result<(), ProviderError> {
        let (member, machine) = match self.pool.machine(id).await {
            Ok(found) => found,
            Err(error) if error.code == ErrorCode::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let reset = format!("{RESET}\n{CLEAN}");
        let operation = format!("{}/delete", key(mutation));
        self.command(member, &operation, self.settings.commands.reset.as_ref(), &reset).await?;
        // A host that was leased is free again; one that was the cluster's from the beginning is nobody's from now on.
        let last = match (member.kind, machine.run) {
            (Kind::Spare, _) | (Kind::Own, Some(_)) => {
                "rm -f \"$1/stopped\" \"$1\"/bootstrap.* && sync \"$1\" && rm -f \"$1/lease\" && sync \"$1\""
            }
            (Kind::Own, None) => "mkdir -p \"$1\" && : >\"$1/retired\" && sync \"$1\"",
        };
        member.script(Purpose::Look, "the end of the lease", last, &[FOLDER]).await.map(drop)
    }
}

#[async_trait]
impl Provider for SshProvider {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult, ProviderError> {
        let invalid = |message: String| ProviderError::lasting(ErrorCode::Invalid, message);
        if !params.protocol_versions.contains(&1) {
            return Err(invalid("this provider speaks protocol version 1 only".into()));
        }
        let settings: Settings = match params.settings {
            serde_json::Value::Null => Settings::default(),
            given => serde_json::from_value(given).map_err(|e| invalid(format!("provider.settings: {e}")))?,
        };
        if let Some(both) = settings.hosts.keys().find(|name| settings.spares.contains_key(*name)) {
            return Err(invalid(format!("provider.settings: {both} is in `hosts` and in `spares`")));
        }
        if settings.in_place && !settings.spares.is_empty() {
            return Err(invalid(
                "provider.settings: with `spares` no host has to be joined again `inPlace`; leave one of them out".into(),
            ));
        }
        let in_place = settings.in_place;
        let example = settings.hosts.keys().next().map(MachineId::new);
        let ledger = Ledger::open(settings.state.clone().unwrap_or_else(state))?;
        let pool = Pool::new(&settings);
        // A second greeting changes nothing.
        let _ = self.greeted.set(Greeted { settings, pool, ledger });
        Ok(InitializeResult {
            protocol_version: 1,
            name: "ssh".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities {
                snapshot: SnapshotKind::None,
                replacement: if in_place { Replacement::InPlace } else { Replacement::Fresh },
                keeping: Keeping::Stopped,
                hosts: true,
                load_balancer: false,
            },
            example,
        })
    }

    async fn validate(&self, params: MachineSpec) -> Result<(), ProviderError> {
        let greeted = self.greeted()?;
        greeted.pool.machine(&params.like).await?;
        if greeted.settings.in_place {
            return Ok(());
        }
        let spares = greeted.look(Kind::Spare).await?;
        if spares.iter().any(|(_, lease)| lease.is_none()) {
            return Ok(());
        }
        let message = format!("no spare host is free: all {} are leased; add one to `spares`", spares.len());
        Err(ProviderError::lasting(ErrorCode::Exhausted, message))
    }

    async fn find(&self, params: FindParams) -> Result<Found, ProviderError> {
        let greeted = self.greeted()?;
        let node = &params.node;
        for kind in [Kind::Own, Kind::Spare] {
            for (member, seen) in greeted.pool.look(kind).await? {
                let Some(machine) = member.machine(&seen) else { continue };
                let is_it = match (&node.system_uuid, &node.provider_id) {
                    (Some(uuid), _) => seen.is(uuid),
                    (None, None) => machine.name == node.name || member.has_address(&node.addresses),
                    // These hosts have no provider id: it is a machine of somebody else's.
                    (None, Some(_)) => false,
                };
                if is_it {
                    return Ok(Found { machine, keeping: Keeping::Stopped });
                }
            }
        }
        let message = format!("no host is node {}: name it under `hosts`", node.name);
        Err(ProviderError::lasting(ErrorCode::NotFound, message))
    }

    async fn list(&self, params: ListParams) -> Result<Listing, ProviderError> {
        let greeted = self.greeted()?;
        let mut seen = greeted.pool.look(Kind::Spare).await?;
        seen.extend(greeted.pool.look(Kind::Own).await?);
        let ours = |lease: &Lease| {
            lease.cluster == params.cluster && params.run.as_ref().is_none_or(|run| *run == lease.run)
        };
        let machines = seen.iter().filter(|(_, s)| s.lease.as_ref().is_some_and(ours));
        Ok(Listing { machines: machines.filter_map(|(m, s)| m.machine(s)).collect(), snapshots: Vec::new() })
    }

    async fn snapshot(&self, _: MachineParams) -> Result<Progress<Snapshot>, ProviderError> {
        Err(none_of("snapshots"))
    }

    async fn restore(&self, _: RestoreParams) -> Result<Progress<Machine>, ProviderError> {
        Err(none_of("snapshots"))
    }

    async fn create(&self, params: CreateParams) -> Result<Progress<Machine>, ProviderError> {
        let greeted = self.greeted()?;
        if !greeted.settings.in_place {
            greeted.pool.machine(&params.spec.like).await?;
        }
        // The user-data holds a join token, which is another at every try.
        let arguments = json!([params.spec]);
        let id = greeted.ledger.once(&params.mutation, "create", arguments, greeted.create(&params)).await?;
        Ok(Progress::Done { value: greeted.pool.machine(&id).await?.1 })
    }

    async fn get(&self, params: GetParams) -> Result<Machine, ProviderError> {
        Ok(self.greeted()?.pool.machine(&params.machine).await?.1)
    }

    async fn stop(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        let greeted = self.greeted()?;
        let own = greeted.settings.commands.stop.as_ref();
        let mark = "mkdir -p \"$1\" && : >\"$1/stopped\" && sync \"$1\"";
        Ok(Progress::Done { value: greeted.switch(&params, "stop", own, STOP, mark).await? })
    }

    async fn start(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        let greeted = self.greeted()?;
        let own = greeted.settings.commands.start.as_ref();
        let mark = "rm -f \"$1/stopped\"";
        Ok(Progress::Done { value: greeted.switch(&params, "start", own, START, mark).await? })
    }

    async fn delete(&self, params: DeleteParams) -> Result<Progress<()>, ProviderError> {
        let greeted = self.greeted()?;
        let work = async {
            match &params.target {
                Deletable::Machine(id) => greeted.delete(&params.mutation, id).await,
                // There is none: it is gone.
                Deletable::Snapshot(_) => Ok(()),
            }
        };
        greeted.ledger.once(&params.mutation, "delete", json!([params.target]), work).await?;
        Ok(Progress::Done { value: () })
    }

    async fn deregister(&self, _: MachineParams) -> Result<Progress<()>, ProviderError> {
        Err(none_of("load balancer"))
    }

    async fn register(&self, _: MachineParams) -> Result<Progress<()>, ProviderError> {
        Err(none_of("load balancer"))
    }

    async fn console_log(&self, params: GetParams) -> Result<String, ProviderError> {
        let (member, _) = self.greeted()?.pool.machine(&params.machine).await?;
        let script = "tail -c 65536 \"$1/bootstrap.log\" 2>/dev/null || true";
        member.script(Purpose::Look, "a look at the bootstrap's output", script, &[FOLDER]).await
    }

    async fn host_run(&self, params: HostRunParams) -> Result<HostOutput, ProviderError> {
        let greeted = self.greeted()?;
        let (member, machine) = greeted.pool.machine(&params.machine).await?;
        let input = params.stdin.as_deref().map(|text| decode("the standard input", text)).transpose()?;
        let argv: Vec<&str> = params.argv.iter().map(String::as_str).collect();
        let run = async |purpose: Purpose<'_>| {
            let output = member.run(purpose, &argv, input.as_deref()).await?;
            Ok(HostOutput {
                status: output.status,
                stdout: STANDARD.encode(output.stdout),
                stderr: STANDARD.encode(output.stderr),
            })
        };
        let Some(mutation) = &params.mutation else { return run(Purpose::Look).await };
        let arguments = json!([machine.id, params.argv, input.as_deref().map(sha256)]);
        let name = format!("{}/host_run", key(mutation));
        greeted.ledger.once(mutation, "host_run", arguments, run(Purpose::Change(&name))).await
    }

    async fn host_read(&self, params: HostReadParams) -> Result<Option<HostFile>, ProviderError> {
        let (member, _) = self.greeted()?.pool.machine(&params.machine).await?;
        let file = member.host().read(&params.path).await.map_err(failure)?;
        Ok(file.map(|f| HostFile { content: STANDARD.encode(f.content), mode: f.mode }))
    }

    async fn host_write(&self, params: HostWriteParams) -> Result<(), ProviderError> {
        let greeted = self.greeted()?;
        let (member, machine) = greeted.pool.machine(&params.machine).await?;
        let file = match &params.file {
            Some(file) => Some(File { content: decode("the file", &file.content)?, mode: file.mode }),
            None => None,
        };
        let shown = file.as_ref().map(|f| (sha256(&f.content), f.mode));
        let work = async {
            match &file {
                Some(file) => member.host().write_atomic(&params.path, file).await,
                None => member.host().remove(&params.path).await,
            }
            .map_err(failure)
        };
        let arguments = json!([machine.id, params.path, shown]);
        greeted.ledger.once(&params.mutation, "host_write", arguments, work).await
    }
}
