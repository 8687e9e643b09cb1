//! The verbs.

use crate::account::Account;
use crate::instances::{self, Instances};
use crate::ledger::Ledger;
use crate::refusal::{Meaning, Refusal};
use crate::settings::Settings;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_provider_kit::Provider;
use replank_provider_protocol::verbs::{
    CreateParams, Deletable, DeleteParams, FindParams, Found, GetParams, HostFile, HostOutput,
    HostReadParams, HostRunParams, HostWriteParams, InitializeParams, InitializeResult, ListParams, Listing,
    MachineParams, MachineSpec, Progress, RestoreParams,
};
use replank_provider_protocol::{
    Capabilities, ErrorCode, Keeping, Machine, MachineId, ProviderError, Replacement, Snapshot, SnapshotKind,
};
use std::sync::OnceLock;
use std::time::Duration;

/// How long a verb may last: replank gives it 30 s.
const VERB: Duration = Duration::from_secs(27);

/// EC2 instances.
#[derive(Default)]
pub struct AwsProvider {
    greeted: OnceLock<Greeted>,
}

/// What the greeting has settled.
pub struct Greeted {
    pub(crate) settings: Settings,
    pub(crate) account: Account,
    pub(crate) instances: Instances,
    pub(crate) ledger: Ledger,
}

/// How far a verb has come that goes one step further each time it is asked for.
pub(crate) enum Step {
    /// To its end.
    Done,
    /// It waits for this.
    Waits(String),
}

impl AwsProvider {
    fn greeted(&self) -> Result<&Greeted, ProviderError> {
        let missing = || ProviderError::lasting(ErrorCode::Invalid, "`initialize` comes first");
        self.greeted.get().ok_or_else(missing)
    }
}

/// Ends a verb before replank gives it up. Whatever was begun is found again: every verb can be repeated.
async fn bounded<T>(verb: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
    tokio::time::timeout(VERB, verb).await.unwrap_or_else(|_| {
        let message = format!("AWS has not answered all that was asked within {} s", VERB.as_secs());
        Err(ProviderError::passing(ErrorCode::Unavailable, message))
    })
}

fn no_hosts() -> ProviderError {
    ProviderError::lasting(ErrorCode::Invalid, "this provider has no host access")
}

#[async_trait]
impl Provider for AwsProvider {
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult, ProviderError> {
        let invalid = |message: String| ProviderError::lasting(ErrorCode::Invalid, message);
        if !params.protocol_versions.contains(&1) {
            return Err(invalid("this provider speaks protocol version 1 only".into()));
        }
        let settings = Settings::read(params.settings).map_err(invalid)?;
        let account = Account::open(&settings).await.map_err(invalid)?;
        let example = settings.example.as_ref().map(MachineId::new);
        let ledger = Ledger::new(account.ec2.clone(), settings.consistency());
        let instances = Instances::new(account.ec2.clone());
        // A second greeting changes nothing.
        let _ = self.greeted.set(Greeted { settings, account, instances, ledger });
        Ok(InitializeResult {
            protocol_version: 1,
            name: "aws".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            capabilities: Capabilities {
                snapshot: SnapshotKind::Volumes,
                replacement: Replacement::Fresh,
                keeping: Keeping::Stopped,
                hosts: false,
                load_balancer: true,
            },
            example,
        })
    }

    async fn validate(&self, params: MachineSpec) -> Result<(), ProviderError> {
        bounded(Box::pin(self.greeted()?.validate(&params))).await
    }

    async fn find(&self, params: FindParams) -> Result<Found, ProviderError> {
        let greeted = self.greeted()?;
        let found = greeted.instances.of_node(&params.node, greeted.settings.vpc.as_deref());
        let instance = bounded(found).await?;
        Ok(Found { keeping: instances::keeping(&instance), machine: instances::machine(&instance) })
    }

    async fn list(&self, params: ListParams) -> Result<Listing, ProviderError> {
        let greeted = self.greeted()?;
        let (cluster, run) = (params.cluster.as_str(), params.run.as_ref());
        let listing = async {
            let made = greeted.instances.made_for(cluster, run).await?;
            let snapshots = greeted.sets(cluster, run).await?;
            Ok(Listing { machines: made.iter().map(instances::machine).collect(), snapshots })
        };
        bounded(listing).await
    }

    async fn snapshot(&self, params: MachineParams) -> Result<Progress<Snapshot>, ProviderError> {
        bounded(Box::pin(self.greeted()?.snapshot(&params))).await
    }

    async fn restore(&self, params: RestoreParams) -> Result<Progress<Machine>, ProviderError> {
        bounded(Box::pin(self.greeted()?.restore(&params))).await
    }

    async fn create(&self, params: CreateParams) -> Result<Progress<Machine>, ProviderError> {
        bounded(Box::pin(self.greeted()?.create(&params))).await
    }

    async fn get(&self, params: GetParams) -> Result<Machine, ProviderError> {
        let instance = bounded(self.greeted()?.instances.get(&params.machine)).await?;
        Ok(instances::machine(&instance))
    }

    async fn stop(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        bounded(Box::pin(self.greeted()?.stop(&params))).await
    }

    async fn start(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        bounded(Box::pin(self.greeted()?.start(&params))).await
    }

    async fn delete(&self, params: DeleteParams) -> Result<Progress<()>, ProviderError> {
        let greeted = self.greeted()?;
        match &params.target {
            Deletable::Machine(machine) => {
                bounded(Box::pin(greeted.terminate(&params.mutation, machine))).await
            }
            Deletable::Snapshot(snapshot) => {
                bounded(Box::pin(greeted.delete_snapshot(&params.mutation, snapshot))).await
            }
        }
    }

    async fn deregister(&self, params: MachineParams) -> Result<Progress<()>, ProviderError> {
        bounded(Box::pin(self.greeted()?.deregister(&params))).await
    }

    async fn register(&self, params: MachineParams) -> Result<Progress<()>, ProviderError> {
        bounded(Box::pin(self.greeted()?.register(&params))).await
    }

    async fn console_log(&self, params: GetParams) -> Result<String, ProviderError> {
        bounded(self.greeted()?.console(&params.machine)).await
    }

    async fn host_run(&self, _: HostRunParams) -> Result<HostOutput, ProviderError> {
        Err(no_hosts())
    }

    async fn host_read(&self, _: HostReadParams) -> Result<Option<HostFile>, ProviderError> {
        Err(no_hosts())
    }

    async fn host_write(&self, _: HostWriteParams) -> Result<(), ProviderError> {
        Err(no_hosts())
    }
}

impl Greeted {
    /// The last of what a machine has printed.
    async fn console(&self, machine: &MachineId) -> Result<String, ProviderError> {
        if !instances::is_id(machine.as_str()) {
            return Err(instances::none(machine));
        }
        let output = self.account.ec2.get_console_output().instance_id(machine.as_str()).send().await;
        let output = output.map_err(|e| match Refusal::of("ec2:GetConsoleOutput", &e) {
            refusal if refusal.meaning() == Meaning::NotFound => instances::none(machine),
            refusal => refusal.about(&format!("the console of {machine} can't be read")),
        })?;
        let bytes = STANDARD.decode(output.output.unwrap_or_default()).unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
