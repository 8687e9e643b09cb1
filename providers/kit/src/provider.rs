//! The trait that every provider implements, in process or behind stdio.

use async_trait::async_trait;
use replank_provider_protocol::verbs::{
    CreateParams, DeleteParams, FindParams, Found, GetParams, HostFile, HostOutput, HostReadParams,
    HostRunParams, HostWriteParams, InitializeParams, InitializeResult, ListParams, Listing, MachineParams,
    Progress, RestoreParams,
};
use replank_provider_protocol::{Machine, ProviderError, Snapshot};

/// Machines of one kind. Every mutating verb is idempotent on its operation id; no call lasts over
/// 30 s, longer work answers [`Progress::Pending`] and is asked again.
///
/// # Errors
/// Every verb fails with a [`ProviderError`] whose code says why and whether asking again can help.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Agrees on the protocol version and tells the capabilities. The first call.
    async fn initialize(&self, params: InitializeParams) -> Result<InitializeResult, ProviderError>;
    /// Whether a replacement of this shape could be made: quota, permissions, settings. Changes nothing.
    async fn validate(
        &self,
        params: replank_provider_protocol::verbs::MachineSpec,
    ) -> Result<(), ProviderError>;
    /// Which machine is this Node, and can it be kept.
    async fn find(&self, params: FindParams) -> Result<Found, ProviderError>;
    /// Everything that was made for a run or a cluster.
    async fn list(&self, params: ListParams) -> Result<Listing, ProviderError>;
    /// Takes a snapshot of a machine.
    async fn snapshot(&self, params: MachineParams) -> Result<Progress<Snapshot>, ProviderError>;
    /// Brings a stopped machine back to a snapshot.
    async fn restore(&self, params: RestoreParams) -> Result<Progress<Machine>, ProviderError>;
    /// Makes and starts a machine.
    async fn create(&self, params: CreateParams) -> Result<Progress<Machine>, ProviderError>;
    /// One machine as it is now.
    async fn get(&self, params: GetParams) -> Result<Machine, ProviderError>;
    /// Stops a machine and keeps it.
    async fn stop(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError>;
    /// Starts a stopped machine.
    async fn start(&self, params: MachineParams) -> Result<Progress<Machine>, ProviderError>;
    /// Deletes a machine or snapshot for good.
    async fn delete(&self, params: DeleteParams) -> Result<Progress<()>, ProviderError>;
    /// Takes a control plane machine out of its load balancer.
    async fn deregister(&self, params: MachineParams) -> Result<Progress<()>, ProviderError>;
    /// Puts a control plane machine into its load balancer.
    async fn register(&self, params: MachineParams) -> Result<Progress<()>, ProviderError>;
    /// The last of what the machine printed on its console.
    async fn console_log(&self, params: GetParams) -> Result<String, ProviderError>;
    /// Runs a command on the machine's host.
    async fn host_run(&self, params: HostRunParams) -> Result<HostOutput, ProviderError>;
    /// Reads a file of the machine's host; none if there is no such file.
    async fn host_read(&self, params: HostReadParams) -> Result<Option<HostFile>, ProviderError>;
    /// Writes or removes a file of the machine's host.
    async fn host_write(&self, params: HostWriteParams) -> Result<(), ProviderError>;
}
