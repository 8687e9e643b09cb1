//! From the caller's settings to a client of the machine API.

use kube::config::{KubeConfigOptions, Kubeconfig};
use replank_provider_protocol::{ErrorCode, ProviderError};
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

/// How the machine API's requests are known in the cluster's record.
const USER_AGENT: &str = "replank-provider-simulator";

/// The provider's settings.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The kubeconfig that the simulator wrote; without it, the one that `KUBECONFIG` names.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// A context other than the current one.
    #[serde(default)]
    pub context: Option<String>,
    /// Whether a machine is wiped and joined again, in the place of a fresh one.
    #[serde(default)]
    pub in_place: bool,
}

/// A client by these settings.
///
/// # Errors
/// `invalid` when the settings or the kubeconfig make no sense.
pub async fn connect(settings: Settings) -> Result<kube::Client, ProviderError> {
    let invalid = |what: String| ProviderError::lasting(ErrorCode::Invalid, what);
    let kubeconfig = match &settings.kubeconfig {
        Some(path) => Kubeconfig::read_from(path)
            .map_err(|e| invalid(format!("the kubeconfig {} can't be read: {e}", path.display())))?,
        None => Kubeconfig::from_env()
            .map_err(|e| invalid(format!("KUBECONFIG can't be read: {e}")))?
            .ok_or_else(|| {
                invalid(
                    "give the provider the setting `kubeconfig`, or set KUBECONFIG: it names the simulator"
                        .into(),
                )
            })?,
    };
    let options = KubeConfigOptions { context: settings.context, ..KubeConfigOptions::default() };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|e| invalid(format!("the kubeconfig names no cluster to ask: {e}")))?;
    client(config).map_err(|e| invalid(format!("no client can be made from the kubeconfig: {e}")))
}

fn client(mut config: kube::Config) -> Result<kube::Client, kube::Error> {
    if let Ok(agent) = http::HeaderValue::from_str(USER_AGENT) {
        config.headers.push((http::header::USER_AGENT, agent));
    }
    kube::Client::try_from(config)
}

/// The settings of the configuration file.
///
/// # Errors
/// `invalid` when they are not understood.
pub fn read(settings: &Value) -> Result<Settings, ProviderError> {
    if settings.is_null() {
        return Ok(Settings::default());
    }
    serde_json::from_value(settings.clone()).map_err(|error| {
        ProviderError::lasting(ErrorCode::Invalid, format!("the provider's settings make no sense: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_read_and_strange_ones_refused() {
        assert!(read(&Value::Null).unwrap().kubeconfig.is_none());
        assert_eq!(read(&json!({"kubeconfig": "/a"})).unwrap().kubeconfig, Some(PathBuf::from("/a")));
        let refused = read(&json!({"kubconfig": "/a"})).unwrap_err();
        assert!(refused.message.contains("kubconfig"), "{}", refused.message);
    }
}
