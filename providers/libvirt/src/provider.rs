//! The verbs.

use crate::acceleration::TRIAL;
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;
use crate::power::Graces;
use crate::settings::Settings;
use crate::volumes::{Part, name};
use async_trait::async_trait;
use replank_provider_kit::Provider;
use replank_provider_kit::ledger::Ledger;
use replank_provider_protocol::verbs::{
    CreateParams, Deletable, DeleteParams, FindParams, Found, GetParams, HostFile, HostOutput,
    HostReadParams, HostRunParams, HostWriteParams, InitializeParams, InitializeResult, ListParams, Listing,
    MachineParams, MachineSpec, Progress, RestoreParams,
};
use replank_provider_protocol::{
    Capabilities, ErrorCode, Keeping, Machine, MachineId, ProviderError, Replacement, Snapshot, SnapshotKind,
};
use serde_json::json;
use std::path::PathBuf;
use std::sync::OnceLock;

/// How much of a console is told.
const CONSOLE: usize = 64 * 1024;

/// Virtual machines of libvirt.
#[derive(Default)]
pub struct LibvirtProvider {
    greeted: OnceLock<Greeted>,
}

struct Greeted {
    hypervisor: Hypervisor,
    ledger: Ledger,
    graces: Graces,
}

fn invalid(message: impl Into<String>) -> ProviderError {
    ProviderError::lasting(ErrorCode::Invalid, message)
}

fn none_of(what: &str) -> ProviderError {
    invalid(format!("virtual machines of libvirt have no {what}"))
}

/// Where effects are remembered on this computer.
fn state() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
    state.unwrap_or_else(|| PathBuf::from("/var/lib")).join("replank/libvirt")
}

impl LibvirtProvider {
    fn greeted(&self) -> Result<&Greeted, ProviderError> {
        self.greeted.get().ok_or_else(|| invalid("`initialize` comes first"))
    }
}

impl Greeted {
    async fn shown(&self, domain: &Domain) -> Machine {
        domain.machine(self.hypervisor.addresses(domain).await)
    }

    async fn machine(&self, id: &MachineId) -> Result<Machine, ProviderError> {
        Ok(self.shown(&self.hypervisor.domain(id).await?).await)
    }

    /// Done work, with the machine as it is now and not as it was when the work was done.
    async fn with_machine(
        &self,
        id: &MachineId,
        progress: Progress<()>,
    ) -> Result<Progress<Machine>, ProviderError> {
        Ok(match progress {
            Progress::Pending { message } => Progress::Pending { message },
            Progress::Done { value: () } => Progress::Done { value: self.machine(id).await? },
        })
    }
}

#[async_trait]
impl Provider for LibvirtProvider {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult, ProviderError> {
        if !params.protocol_versions.contains(&1) {
            return Err(invalid("this provider speaks protocol version 1 only"));
        }
        let settings: Settings = serde_json::from_value(params.settings)
            .map_err(|e| invalid(format!("provider.settings: {e}")))?;
        let ledger = Ledger::open(settings.state.clone().unwrap_or_else(state))?;
        let hypervisor = Hypervisor::open(settings).await?;
        let domains = hypervisor.domains().await?;
        let theirs = domains.iter().filter(|d| d.mark.made.is_none() && !d.name.starts_with(TRIAL));
        let example = theirs.min_by(|a, b| a.name.cmp(&b.name)).map(|d| d.id.clone());
        // A second greeting changes nothing.
        let _ = self.greeted.set(Greeted { hypervisor, ledger, graces: Graces::default() });
        Ok(InitializeResult {
            protocol_version: 1,
            name: "libvirt".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities {
                snapshot: SnapshotKind::Disk,
                replacement: Replacement::Fresh,
                keeping: Keeping::Stopped,
                hosts: false,
                load_balancer: false,
            },
            example,
        })
    }

    async fn validate(&self, params: MachineSpec) -> Result<(), ProviderError> {
        self.greeted()?.hypervisor.can_be_made(&params).await
    }

    async fn find(&self, params: FindParams) -> Result<Found, ProviderError> {
        let greeted = self.greeted()?;
        let node = &params.node;
        // A kubelet tells the UUID that its domain has; names and addresses may be another's by now.
        if let Some(uuid) = &node.system_uuid {
            let found = greeted.hypervisor.look(&MachineId::new(uuid.to_lowercase())).await?;
            if let Some(domain) = found {
                return Ok(Found { machine: greeted.shown(&domain).await, keeping: Keeping::Stopped });
            }
        }
        let message = format!(
            "no domain of {} is node {}: none has the uuid that it reports",
            greeted.hypervisor.virsh.uri(),
            node.name
        );
        Err(ProviderError::lasting(ErrorCode::NotFound, message))
    }

    async fn list(&self, params: ListParams) -> Result<Listing, ProviderError> {
        let greeted = self.greeted()?;
        let ours = |cluster: &str, run: &replank_provider_protocol::RunId| {
            cluster == params.cluster && params.run.as_ref().is_none_or(|wanted| wanted == run)
        };
        let mut listing = Listing::default();
        let domains = greeted.hypervisor.domains().await?;
        let made = domains.iter().filter(|d| d.mark.made.as_ref().is_some_and(|m| ours(&m.cluster, &m.run)));
        listing.machines = futures::future::join_all(made.map(|domain| greeted.shown(domain))).await;
        for domain in &domains {
            let snapshots = domain.mark.snapshots.iter().filter(|s| ours(&s.cluster, &s.run));
            let known = snapshots.filter(|s| domain.mark.snapshot(&s.id).is_some());
            listing.snapshots.extend(known.map(|s| s.shown(&domain.id)));
        }
        listing.snapshots.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(listing)
    }

    async fn snapshot(&self, params: MachineParams) -> Result<Progress<Snapshot>, ProviderError> {
        let Greeted { hypervisor, ledger, .. } = self.greeted()?;
        hypervisor.fence(&params.mutation).await?;
        let work = hypervisor.snapshot(&params.machine, &params.mutation);
        let value = ledger.once(&params.mutation, "snapshot", json!([params.machine]), work).await?;
        Ok(Progress::Done { value })
    }

    async fn restore(&self, params: RestoreParams) -> Result<Progress<Machine>, ProviderError> {
        let greeted = self.greeted()?;
        greeted.hypervisor.fence(&params.mutation).await?;
        let work = greeted.hypervisor.restore(&params.machine, &params.snapshot, &params.mutation);
        let arguments = json!([params.machine, params.snapshot]);
        greeted.ledger.once(&params.mutation, "restore", arguments, work).await?;
        Ok(Progress::Done { value: greeted.machine(&params.machine).await? })
    }

    async fn create(&self, params: CreateParams) -> Result<Progress<Machine>, ProviderError> {
        let greeted = self.greeted()?;
        greeted.hypervisor.fence(&params.mutation).await?;
        // The user-data holds a join token, which is another at every try.
        let arguments = json!([params.spec]);
        let work = greeted.hypervisor.create(&params);
        match greeted.ledger.until_done(&params.mutation, "create", arguments, work).await? {
            Progress::Done { value: id } => Ok(Progress::Done { value: greeted.machine(&id).await? }),
            Progress::Pending { message } => Ok(Progress::Pending { message }),
        }
    }

    async fn get(&self, params: GetParams) -> Result<Machine, ProviderError> {
        self.greeted()?.machine(&params.machine).await
    }

    async fn stop(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        let greeted = self.greeted()?;
        greeted.hypervisor.fence(&params.mutation).await?;
        let work = greeted.hypervisor.stop(&params.machine, &greeted.graces);
        let arguments = json!([params.machine]);
        let progress = greeted.ledger.until_done(&params.mutation, "stop", arguments, work).await?;
        greeted.with_machine(&params.machine, progress).await
    }

    async fn start(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        let greeted = self.greeted()?;
        greeted.hypervisor.fence(&params.mutation).await?;
        let work = greeted.hypervisor.start(&params.machine);
        greeted.ledger.once(&params.mutation, "start", json!([params.machine]), work).await?;
        Ok(Progress::Done { value: greeted.machine(&params.machine).await? })
    }

    async fn delete(&self, params: DeleteParams) -> Result<Progress<()>, ProviderError> {
        let Greeted { hypervisor, ledger, .. } = self.greeted()?;
        hypervisor.fence(&params.mutation).await?;
        let work = async {
            match &params.target {
                Deletable::Machine(id) => hypervisor.delete(id).await,
                Deletable::Snapshot(id) => hypervisor.forget(id).await,
            }
        };
        ledger.once(&params.mutation, "delete", json!([params.target]), work).await?;
        Ok(Progress::Done { value: () })
    }

    async fn deregister(&self, _: MachineParams) -> Result<Progress<()>, ProviderError> {
        Err(none_of("load balancer"))
    }

    async fn register(&self, _: MachineParams) -> Result<Progress<()>, ProviderError> {
        Err(none_of("load balancer"))
    }

    async fn console_log(&self, params: GetParams) -> Result<String, ProviderError> {
        let hypervisor = &self.greeted()?.hypervisor;
        let domain = hypervisor.domain(&params.machine).await?;
        let volume = name(&domain.id, Part::Console);
        if domain.mark.made.is_none() || !hypervisor.volumes().await?.contains(&volume) {
            return Err(invalid(format!("the console of domain {} is written nowhere", domain.name)));
        }
        hypervisor.printed(&volume, CONSOLE).await
    }

    async fn host_run(&self, _: HostRunParams) -> Result<HostOutput, ProviderError> {
        Err(none_of("host access"))
    }

    async fn host_read(&self, _: HostReadParams) -> Result<Option<HostFile>, ProviderError> {
        Err(none_of("host access"))
    }

    async fn host_write(&self, _: HostWriteParams) -> Result<(), ProviderError> {
        Err(none_of("host access"))
    }
}
