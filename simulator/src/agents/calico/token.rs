//! The CNI plugin's credentials on the host: a kubeconfig with a token that lives for a day.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::machines::ProgramContext;
use crate::machines::api::{Api, ApiFailure, core, text};

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long a token is asked to live.
const LIFE: Duration = Duration::from_secs(86_400);
/// A token is renewed after this share of its life.
const SHARE: u32 = 4;

/// The file as calico-node and the installer see it.
pub(super) const KUBECONFIG: &str = "/host/etc/cni/net.d/calico-kubeconfig";

/// How long to wait between two renewals.
pub(super) fn renewal() -> Duration {
    LIFE / SHARE
}

/// Asks for a new token of the plugin's account.
pub(super) async fn request(context: &ProgramContext, api: &Api) -> Result<String, ApiFailure> {
    let namespace = context.files.read_text(&format!("{ACCOUNT}/namespace"));
    let namespace = namespace.unwrap_or_else(|| "kube-system".to_owned());
    let account = context.env.get("CALICO_CNI_SERVICE_ACCOUNT").filter(|name| !name.is_empty());
    let account = account.map_or("calico-cni-plugin", String::as_str);
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": LIFE.as_secs()},
    });
    let path = format!("{}/token", core(namespace.trim(), "serviceaccounts", account));
    let answer = api.create(&path, &request).await?;
    Ok(text(&answer, "/status/token").to_owned())
}

/// The kubeconfig with this token.
pub(super) fn kubeconfig(context: &ProgramContext, token: &str) -> String {
    let variable = |name: &str, default: &str| {
        context.env.get(name).cloned().filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
    };
    let host = variable("KUBERNETES_SERVICE_HOST", "10.96.0.1");
    let port = variable("KUBERNETES_SERVICE_PORT", "443");
    let authority = context.files.read_text(&format!("{ACCOUNT}/ca.crt")).unwrap_or_default();
    let config = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "local", "cluster": {
            "server": format!("https://{host}:{port}"), "certificate-authority-data": STANDARD.encode(authority),
        }}],
        "users": [{"name": "calico", "user": {"token": token}}],
        "contexts": [{"name": "calico-context", "context": {"cluster": "local", "user": "calico"}}],
        "current-context": "calico-context",
    });
    // Every JSON document is a YAML document, and so a kubeconfig.
    serde_saphyr::to_string(&config).unwrap_or_else(|_| config.to_string())
}
