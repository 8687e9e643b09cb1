//! The `install-cni` container: plugins, credentials and configuration onto the host.

use super::token;
use crate::agents::support::{Doing, Fatal};
use crate::machines::ProgramContext;
use crate::machines::api::Api;

/// What the image carries beside Calico's own. `bridge` is not among it.
const PLUGINS: [&str; 8] =
    ["bandwidth", "calico", "calico-ipam", "flannel", "host-local", "loopback", "portmap", "tuning"];

/// Where the plugin finds etcd's keys on the host, long after the pod that brought them.
const ETCD_KEYS: &str = "/etc/cni/net.d/calico-tls";
const ETCD_FILES: [&str; 3] = ["etcd-ca", "etcd-cert", "etcd-key"];

/// Puts everything in place; the configuration last, since it makes the node's network ready.
pub(super) async fn run(context: &ProgramContext) -> Result<(), Fatal> {
    tokio::time::sleep(context.durations.init_container).await;
    let write = |path: String, content: &str, mode: u32| {
        let failed = |error| Fatal::Because(format!("failed to write {path}: {error}"));
        context.files.write(&path, content, mode).map_err(failed)
    };
    for plugin in PLUGINS {
        let path = format!("/host/opt/cni/bin/{plugin}");
        if !context.files.exists(&path) {
            write(path, "", 0o755)?;
        }
    }
    let variable = |name: &str| context.env.get(name).cloned().filter(|value| !value.is_empty());
    let api = Api::new(context.client.clone());
    let token = token::request(context, &api).await.doing("unable to create token for CNI kubeconfig")?;
    let file = variable("KUBECONFIG_FILE_NAME").unwrap_or_else(|| "calico-kubeconfig".to_owned());
    write(format!("/host/etc/cni/net.d/{file}"), &token::kubeconfig(context, &token), 0o600)?;
    for file in ETCD_FILES {
        if let Some(content) = context.files.read_text(&format!("/calico-secrets/{file}")) {
            write(format!("/host{ETCD_KEYS}/{file}"), &content, 0o600)?;
        }
    }
    let name = variable("CNI_CONF_NAME").unwrap_or_else(|| "10-calico.conflist".to_owned());
    let conf = configuration(context, &file, &token)?;
    write(format!("/host/etc/cni/net.d/{name}"), &conf, 0o644)?;
    if let Some(old) = variable("CNI_OLD_CONF_NAME").filter(|old| *old != name) {
        context.files.remove(&format!("/host/etc/cni/net.d/{old}"));
    }
    if context.env.get("SLEEP").is_some_and(|sleep| sleep == "true") {
        context.set_ready(true);
        context.stop.cancelled().await;
    }
    Ok(())
}

/// The configuration with its placeholders filled in.
fn configuration(context: &ProgramContext, file: &str, token: &str) -> Result<String, Fatal> {
    let variable = |name: &str| context.env.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let from_file = variable("CNI_NETWORK_CONFIG_FILE").and_then(|path| context.files.read_text(path));
    let template = from_file.or_else(|| variable("CNI_NETWORK_CONFIG").map(str::to_owned));
    let mut conf = template.ok_or_else(|| Fatal::Because("CNI_NETWORK_CONFIG is not set".to_owned()))?;
    let directory = variable("CNI_NET_DIR").unwrap_or("/etc/cni/net.d");
    let kubeconfig = format!("{directory}/{file}");
    for (placeholder, value) in [
        ("__ETCD_ENDPOINTS__", variable("ETCD_ENDPOINTS").unwrap_or_default()),
        ("__ETCD_CA_CERT_FILE__", &format!("{ETCD_KEYS}/etcd-ca")),
        ("__ETCD_CERT_FILE__", &format!("{ETCD_KEYS}/etcd-cert")),
        ("__ETCD_KEY_FILE__", &format!("{ETCD_KEYS}/etcd-key")),
        ("__LOG_LEVEL__", variable("LOG_LEVEL").unwrap_or("info")),
        ("__LOG_FILE_PATH__", variable("LOG_FILE_PATH").unwrap_or("/var/log/calico/cni/cni.log")),
        ("__DATASTORE_TYPE__", variable("DATASTORE_TYPE").unwrap_or("kubernetes")),
        ("__KUBERNETES_NODE_NAME__", variable("KUBERNETES_NODE_NAME").unwrap_or(&context.node)),
        ("__KUBECONFIG_FILENAME__", file),
        ("__KUBECONFIG_FILEPATH__", &kubeconfig),
        ("__CNI_MTU__", variable("CNI_MTU").unwrap_or("1500")),
        ("__KUBERNETES_SERVICE_HOST__", variable("KUBERNETES_SERVICE_HOST").unwrap_or("10.96.0.1")),
        ("__KUBERNETES_SERVICE_PORT__", variable("KUBERNETES_SERVICE_PORT").unwrap_or("443")),
        ("__SERVICEACCOUNT_TOKEN__", token),
    ] {
        conf = conf.replace(placeholder, value);
    }
    match serde_json::from_str::<serde_json::Value>(&conf) {
        Ok(_) => Ok(conf),
        Err(error) => Err(Fatal::Because(format!("the CNI configuration is not valid JSON: {error}"))),
    }
}
