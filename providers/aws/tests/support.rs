//! A fake account with one node in it, and providers that are configured for it.

use replank_ec2_fake::{Fake, Pace};
use replank_provider_aws::AwsProvider;
use replank_provider_kit::Provider;
use replank_provider_protocol::verbs::{
    CreateParams, InitializeParams, MachineParams, MachineSpec, Mutation, Progress,
};
use replank_provider_protocol::{
    Epoch, ErrorCode, Machine, MachineId, OperationId, ProviderError, Retry, Role, RunId,
};
use serde_json::{Value, json};
use std::time::Duration;

pub const CLUSTER: &str = "0d6c5f2e-3a51-4c0e-9f0b-5f7f5d0c1a11";

/// How long anything may take that the fake does in milliseconds. After "too many calls" the SDK makes one call every
/// two seconds at first.
const PATIENCE: Duration = Duration::from_secs(90);

/// An account with one node, `worker-1`.
pub struct Site {
    pub fake: Fake,
    pub node: MachineId,
    folder: tempfile::TempDir,
}

impl Site {
    pub async fn new(pace: Pace) -> Self {
        let fake = Fake::start(pace).await.expect("the fake listens");
        let node = fake.world().somebodys_machine("worker-1", "m5.large", "subnet-0a1");
        let folder = tempfile::tempdir().expect("a folder");
        let keys = "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = none\n";
        std::fs::write(folder.path().join("config"), keys).expect("a configuration");
        Self { fake, node: MachineId::new(node), folder }
    }

    /// Settings, with more of them.
    pub fn settings(&self, more: &Value) -> Value {
        let mut settings = json!({
            "region": "eu-central-1",
            "profile": "default",
            "endpoint": self.fake.endpoint(),
            "configFile": self.folder.path().join("config"),
            "example": self.node,
            "consistencySeconds": 1,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            settings[key] = value.clone();
        }
        settings
    }

    /// A provider that knows nothing of those before it.
    pub async fn provider(&self, more: &Value) -> AwsProvider {
        let provider = AwsProvider::default();
        let params = InitializeParams { protocol_versions: vec![1], settings: self.settings(more) };
        provider.initialize(params).await.expect("it is greeted");
        provider
    }

    pub fn spec(&self, name: &str) -> MachineSpec {
        MachineSpec {
            name: name.into(),
            role: Role::Worker,
            like: self.node.clone(),
            labels: [("tier".to_owned(), "web".to_owned())].into(),
        }
    }

    pub fn create(&self, name: &str) -> CreateParams {
        CreateParams {
            mutation: mutation(&format!("create/{name}")),
            spec: self.spec(name),
            user_data: "I2Nsb3VkLWNvbmZpZwo=".into(),
        }
    }

    /// Makes a machine and waits until it runs.
    pub async fn running(&self, provider: &AwsProvider, name: &str) -> Machine {
        let made = settled(async || provider.create(self.create(name)).await).await.expect("it is made");
        settled(async || {
            let machine = provider
                .get(replank_provider_protocol::verbs::GetParams { machine: made.id.clone() })
                .await?;
            Ok(match machine.state {
                replank_provider_protocol::MachineState::Running => Progress::Done { value: machine },
                state => Progress::Pending { message: format!("{state:?}") },
            })
        })
        .await
        .expect("it runs")
    }
}

pub fn mutation(operation: &str) -> Mutation {
    Mutation {
        operation: OperationId::new(format!("run-7/{operation}")),
        run: RunId::new("run-7"),
        cluster: CLUSTER.into(),
        epoch: Epoch(3),
    }
}

pub fn on(operation: &str, machine: &MachineId) -> MachineParams {
    MachineParams { mutation: mutation(operation), machine: machine.clone() }
}

/// Asks until it is done or refused for good.
pub async fn settled<T>(
    mut ask: impl AsyncFnMut() -> Result<Progress<T>, ProviderError>,
) -> Result<T, ProviderError> {
    let begun = std::time::Instant::now();
    loop {
        let waits_for = match ask().await {
            Ok(Progress::Done { value }) => return Ok(value),
            Ok(Progress::Pending { message }) => message,
            Err(error) if error.retry == Retry::MayHelp && error.code != ErrorCode::Exhausted => {
                error.message
            }
            Err(error) => return Err(error),
        };
        assert!(begun.elapsed() < PATIENCE, "not done in time; it said: {waits_for}");
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}
