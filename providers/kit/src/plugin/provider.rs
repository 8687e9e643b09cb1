//! The verbs as calls to a plugin.

use super::clean::misfit;
use super::connection::Connection;
use super::pending::{Call, Refused};
use crate::Provider;
use async_trait::async_trait;
use replank_provider_protocol::rpc::{VERSIONS, Verb};
use replank_provider_protocol::verbs::{
    CreateParams, DeleteParams, FindParams, Found, GetParams, HostFile, HostOutput, HostReadParams,
    HostRunParams, HostWriteParams, InitializeParams, InitializeResult, ListParams, Listing, MachineParams,
    MachineSpec, Progress, RestoreParams,
};
use replank_provider_protocol::{ErrorCode, Machine, ProviderError, Snapshot};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::PathBuf;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How many calls may queue before a caller has to wait.
const QUEUE: usize = 64;

/// A plugin that could not be taken into service.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It refused or broke the protocol.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// It speaks another version of the protocol.
    #[error("provider plugin {name} speaks protocol version {version}; this replank speaks {VERSIONS:?}")]
    Version {
        /// Which plugin.
        name: String,
        /// What it answered.
        version: u32,
    },
}

/// A plugin in service. Dropping it ends its process.
pub struct PluginProvider {
    name: String,
    greeting: InitializeResult,
    calls: mpsc::Sender<Call>,
    task: Option<JoinHandle<()>>,
}

impl Drop for PluginProvider {
    fn drop(&mut self) {
        // The process is killed when the task's state is dropped with it.
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl PluginProvider {
    /// Starts a plugin and agrees on the protocol version with it.
    ///
    /// # Errors
    /// When it can't be started, refuses `initialize`, or speaks another version.
    pub async fn start(name: &str, path: PathBuf, settings: Value) -> Result<Self, StartError> {
        let params = InitializeParams { protocol_versions: VERSIONS.to_vec(), settings };
        let initialize = serde_json::to_value(&params).map_err(|e| internal(name, &e))?;
        let (calls, receiver) = mpsc::channel(QUEUE);
        let connection = Connection::new(name.to_owned(), path, initialize.clone(), receiver);
        let task = Some(tokio::spawn(connection.run()));
        let mut plugin = Self { name: name.to_owned(), greeting: placeholder(name), calls, task };
        plugin.greeting = plugin.call_value(Verb::Initialize, initialize).await?;
        if !VERSIONS.contains(&plugin.greeting.protocol_version) {
            return Err(StartError::Version {
                name: name.to_owned(),
                version: plugin.greeting.protocol_version,
            });
        }
        Ok(plugin)
    }

    /// Ends the plugin by ending its input, and waits until it is gone.
    pub async fn close(mut self) {
        // A closed channel stands in for ours, so that the connection sees that nobody can call.
        self.calls = mpsc::channel(1).0;
        if let Some(task) = self.task.take() {
            // A connection that panicked has killed its process while unwinding.
            let _ = task.await;
        }
    }

    /// Ends the plugin's process at once, whatever it does, and waits until that was done.
    pub async fn kill(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // The process is killed as the task's state is dropped.
            let _ = task.await;
        }
    }

    /// What it answered to `initialize`.
    pub fn greeting(&self) -> &InitializeResult {
        &self.greeting
    }

    async fn call<P: Serialize, R: DeserializeOwned>(
        &self,
        verb: Verb,
        params: P,
    ) -> Result<R, ProviderError> {
        let params = serde_json::to_value(params).map_err(|e| internal(&self.name, &e))?;
        self.call_value(verb, params).await
    }

    async fn call_value<R: DeserializeOwned>(&self, verb: Verb, params: Value) -> Result<R, ProviderError> {
        let gone = || {
            ProviderError::passing(ErrorCode::Unavailable, format!("provider plugin {} has ended", self.name))
        };
        let (reply, answer) = oneshot::channel();
        self.calls.send(Call { verb, params, reply }).await.map_err(|_| gone())?;
        match answer.await.map_err(|_| gone())? {
            Ok(value) => serde_json::from_value(value).map_err(|error| {
                let message = format!("provider plugin {} {}", self.name, misfit(verb, &error));
                ProviderError::lasting(ErrorCode::Internal, message)
            }),
            Err(Refused::Provider(error)) => Err(error),
            Err(Refused::Fault(fault)) => Err(fault.into_error(&self.name)),
        }
    }
}

fn internal(name: &str, error: &serde_json::Error) -> ProviderError {
    ProviderError::lasting(ErrorCode::Internal, format!("a call to {name} can't be written as JSON: {error}"))
}

/// Stands in until the plugin has answered.
fn placeholder(name: &str) -> InitializeResult {
    use replank_provider_protocol::{Capabilities, Keeping, Replacement, SnapshotKind};
    InitializeResult {
        protocol_version: 0,
        name: name.to_owned(),
        version: String::new(),
        capabilities: Capabilities {
            snapshot: SnapshotKind::None,
            replacement: Replacement::Fresh,
            keeping: Keeping::Lost,
            hosts: false,
            load_balancer: false,
        },
        example: None,
    }
}

#[async_trait]
impl Provider for PluginProvider {
    async fn initialize(&self, _params: InitializeParams) -> Result<InitializeResult, ProviderError> {
        // The connection greets every process that it starts with the settings given at the start.
        Ok(self.greeting.clone())
    }
    async fn validate(&self, params: MachineSpec) -> Result<(), ProviderError> {
        self.call(Verb::Validate, params).await
    }
    async fn find(&self, params: FindParams) -> Result<Found, ProviderError> {
        self.call(Verb::Find, params).await
    }
    async fn list(&self, params: ListParams) -> Result<Listing, ProviderError> {
        self.call(Verb::List, params).await
    }
    async fn snapshot(&self, params: MachineParams) -> Result<Progress<Snapshot>, ProviderError> {
        self.call(Verb::Snapshot, params).await
    }
    async fn restore(&self, params: RestoreParams) -> Result<Progress<Machine>, ProviderError> {
        self.call(Verb::Restore, params).await
    }
    async fn create(&self, params: CreateParams) -> Result<Progress<Machine>, ProviderError> {
        self.call(Verb::Create, params).await
    }
    async fn get(&self, params: GetParams) -> Result<Machine, ProviderError> {
        self.call(Verb::Get, params).await
    }
    async fn stop(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        self.call(Verb::Stop, params).await
    }
    async fn start(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError> {
        self.call(Verb::Start, params).await
    }
    async fn delete(&self, params: DeleteParams) -> Result<Progress<()>, ProviderError> {
        self.call(Verb::Delete, params).await
    }
    async fn deregister(&self, params: MachineParams) -> Result<Progress<()>, ProviderError> {
        self.call(Verb::Deregister, params).await
    }
    async fn register(&self, params: MachineParams) -> Result<Progress<()>, ProviderError> {
        self.call(Verb::Register, params).await
    }
    async fn console_log(&self, params: GetParams) -> Result<String, ProviderError> {
        self.call(Verb::ConsoleLog, params).await
    }
    async fn host_run(&self, params: HostRunParams) -> Result<HostOutput, ProviderError> {
        self.call(Verb::HostRun, params).await
    }
    async fn host_read(&self, params: HostReadParams) -> Result<Option<HostFile>, ProviderError> {
        self.call(Verb::HostRead, params).await
    }
    async fn host_write(&self, params: HostWriteParams) -> Result<(), ProviderError> {
        self.call(Verb::HostWrite, params).await
    }
}
