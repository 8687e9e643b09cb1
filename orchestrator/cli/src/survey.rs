//! Looking at a cluster before there is a plan, with its machines where a provider is named.

use crate::cluster::ClusterArguments;
use crate::failure::Failure;
use crate::machines;
use replank_execution::{Settings, World, observe};
use replank_planning::intent::ProviderChoice;
use replank_planning::state::ClusterState;
use replank_provider_simulator::SimulatorProvider;
use std::sync::Arc;

/// What a cluster is like now. Without a provider nothing is known of machines and hosts.
///
/// # Errors
/// When cluster or provider can't be reached, or don't answer.
pub(crate) async fn survey(
    cluster: &ClusterArguments,
    provider: Option<&ProviderChoice>,
) -> Result<ClusterState, Failure> {
    let client = cluster.connect().await?.client;
    let (world, settings) = match provider {
        Some(choice) => {
            let plugin = machines::start(choice, cluster).await?;
            let settings = Settings::with_provider(plugin.greeting().capabilities.clone());
            (World::new(client, Arc::new(plugin)), settings)
        }
        // Without capabilities no provider is asked for anything; this one could not answer.
        None => (World::new(client, Arc::new(SimulatorProvider::unconnected())), Settings::default()),
    };
    Ok(observe(&world, &settings).await?)
}
