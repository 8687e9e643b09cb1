//! The provider of machines, as a plugin that is found and started.

use crate::cluster::ClusterArguments;
use replank_planning::intent::ProviderChoice;
use replank_provider_kit::PluginProvider;
use replank_provider_kit::discovery::{NotFound, SearchPath};
use replank_provider_kit::plugin::StartError;
use serde_json::{Map, Value};

/// Why there is no provider.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachinesError {
    /// It was not found.
    #[error(transparent)]
    NotFound(#[from] NotFound),
    /// It was not taken into service.
    #[error("the provider {name} could not be started")]
    Start {
        /// Which.
        name: String,
        /// Why.
        source: StartError,
    },
}

/// Where plugins are looked for: beside this program, then on PATH.
pub(crate) fn search_path() -> SearchPath {
    SearchPath::new(std::env::current_exe().ok().as_deref(), std::env::var_os("PATH").as_deref())
}

/// Finds a provider, starts it and agrees on the protocol with it.
///
/// # Errors
/// When it is not found, or refuses.
pub(crate) async fn start(
    choice: &ProviderChoice,
    cluster: &ClusterArguments,
) -> Result<PluginProvider, MachinesError> {
    let path = search_path().find(&choice.name)?;
    let settings = settings(choice, cluster);
    PluginProvider::start(&choice.name, path, settings)
        .await
        .map_err(|source| MachinesError::Start { name: choice.name.clone(), source })
}

/// The provider's settings. The simulator's machines are where its cluster is: it is told the
/// kubeconfig unless it was given one, which keeps the path out of the plan.
fn settings(choice: &ProviderChoice, cluster: &ClusterArguments) -> Value {
    let mut settings: Map<String, Value> = choice.settings.clone().into_iter().collect();
    if choice.name == "simulator" && !settings.contains_key("kubeconfig") {
        if let Some(path) = cluster.file() {
            settings.insert("kubeconfig".into(), path.display().to_string().into());
        }
        if let Some(context) = &cluster.context {
            settings.insert("context".into(), context.clone().into());
        }
    }
    if settings.is_empty() { Value::Null } else { Value::Object(settings) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(name: &str) -> ProviderChoice {
        ProviderChoice { name: name.into(), ..ProviderChoice::default() }
    }

    #[test]
    fn only_the_simulator_is_told_where_the_cluster_is() {
        let cluster = ClusterArguments { kubeconfig: Some("/a/config".into()), context: Some("sim".into()) };
        let expected = serde_json::json!({"kubeconfig": "/a/config", "context": "sim"});
        assert_eq!(settings(&choice("simulator"), &cluster), expected);
        assert_eq!(settings(&choice("aws"), &cluster), Value::Null);
        let mut own = choice("simulator");
        own.settings.insert("kubeconfig".into(), "/b".into());
        assert_eq!(settings(&own, &cluster), serde_json::json!({"kubeconfig": "/b"}));
    }
}
