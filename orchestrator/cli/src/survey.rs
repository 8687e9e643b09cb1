//! Looking at a cluster before there is a plan, with its machines where a provider is named.

use crate::cluster::ClusterArguments;
use crate::failure::Failure;
use crate::machines;
use replank_execution::api::Api;
use replank_execution::rights::{self, MissingRights};
use replank_execution::{RunError, Settings, World, observe};
use replank_planning::checks::{Code, Consent, Finding, Severity};
use replank_planning::intent::{Intent, ProviderChoice};
use replank_planning::planner;
use replank_planning::rights::{Right, needed};
use replank_planning::state::ClusterState;
use replank_provider_simulator::SimulatorProvider;
use std::sync::Arc;

/// What whoever asks may not do that a plan of this would need; none where no plan can be made at all.
/// A finding's weight is a warning's: who plans need not be who carries it out.
///
/// # Errors
/// When the cluster can't be reached, or does not answer.
pub(crate) async fn missing_rights(
    cluster: &ClusterArguments,
    state: &ClusterState,
    intent: &Intent,
) -> Result<Vec<Finding>, Failure> {
    let mut accepting = intent.clone();
    let consents = planner::assess(state, intent).of(Severity::Consent).into_iter();
    accepting.accept.extend(consents.map(|f| Consent { code: f.code, object: Some(f.object) }));
    let Ok(plan) = planner::plan(state, &accepting, env!("CARGO_PKG_VERSION")) else {
        return Ok(Vec::new());
    };
    let api = Api::new(cluster.connect().await?.client);
    let missing = rights::missing(&api, &needed(&plan)).await.map_err(RunError::from)?;
    Ok(missing.iter().flat_map(MissingRights::rights).map(finding).collect())
}

fn finding(right: &Right) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: Code::MissingRight,
        object: right.to_string(),
        message: "the API server does not allow you this; whoever carries the plan out needs it.".into(),
        fix: "Let `replank rbac PLAN` print the roles, and bind them to that account.".into(),
    }
}

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
