//! The cluster as it is now, as slim data, page by page.
//!
//! - [`reader`]: requests that are asked again while they may pass.
//! - [`nodes`]: Nodes with their machines; [`hosts`]: what their hosts hold.
//! - [`pods`]: pods and their volumes; [`traffic`]: what guards and reaches them.
//! - [`control_plane`]: kubeadm's records, kube-proxy, controller-managers.
//! - [`inventory`]: every object that could have to do with a network.

mod control_plane;
mod hosts;
mod inventory;
mod nodes;
mod pods;
mod reader;
mod selector;
mod traffic;

use crate::api::ApiError;
use crate::engine::run::cluster_uid;
use crate::world::World;
use reader::Reader;
use replank_planning::state::ClusterState;
use replank_provider_protocol::{Capabilities, ProviderError};
use std::time::Duration;

/// What to ask, and how patiently.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the provider answered to `initialize`; without it no machine and no host is asked for.
    pub capabilities: Option<Capabilities>,
    /// For how long a server that gives no answer is asked again.
    pub patience: Duration,
}

impl Settings {
    /// Asks the provider too.
    pub fn with_provider(capabilities: Capabilities) -> Self {
        Self { capabilities: Some(capabilities), ..Self::default() }
    }
}

impl Default for Settings {
    /// Asks the API server only; half a minute of no answer is long enough to tell a person.
    fn default() -> Self {
        Self { capabilities: None, patience: Duration::from_secs(30) }
    }
}

/// Why the cluster could not be observed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The API server refused or gave no answer.
    #[error("the API server could not be asked for {what}: {source}")]
    Api {
        /// What was asked for.
        what: String,
        /// Its word.
        source: ApiError,
    },
    /// The provider refused or gave no answer.
    #[error("the provider could not be asked to {verb}: {source}")]
    Provider {
        /// What was asked for.
        verb: String,
        /// Its word.
        source: ProviderError,
    },
}

/// Reads everything that a plan is made from. Changes nothing.
///
/// # Errors
/// When the API server or the provider refuses, or gives no answer for long.
pub async fn observe(world: &World, settings: &Settings) -> Result<ClusterState, ObserveError> {
    let reader = Reader::new(world, settings);
    let uid = reader.ask("the namespace kube-system", || cluster_uid(world)).await?;
    let version = reader.get("/version").await?;
    let inventory = inventory::read(&reader).await?;
    let mut nodes = nodes::read(&reader).await?;
    let pods = pods::read(&reader, &nodes).await?;
    if let Some(capabilities) = &settings.capabilities {
        nodes::find_machines(&reader, &mut nodes).await?;
        hosts::look(&reader, capabilities, &mut nodes).await;
    }
    let managers = control_plane::controller_managers(&reader).await?;
    let kubeadm = control_plane::kubeadm(&inventory);
    Ok(ClusterState {
        uid,
        version: version["gitVersion"].as_str().unwrap_or_default().to_owned(),
        budgets: traffic::budgets(&inventory, &pods),
        policies: traffic::policies(&inventory),
        services: traffic::services(&inventory, &pods),
        webhooks: traffic::webhooks(&inventory, &pods),
        kube_proxy: control_plane::kube_proxy(&inventory),
        service_ranges: control_plane::service_ranges(&reader, kubeadm.as_ref()).await?,
        controller_managers: managers,
        kubeadm,
        nodes,
        pods,
        inventory,
        provider: settings.capabilities.clone(),
    })
}
