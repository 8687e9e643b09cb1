//! The pod network on a host: which configuration is in force, and what its plugins do.
//!
//! As in containerd, the configuration whose file sorts first is in force, a change is seen
//! without a restart, and DEL runs the plugins in force now, whichever made the sandbox.

pub(crate) mod calico;
mod flannel;
pub(crate) mod ipam;
pub(crate) mod keyspace;
pub(crate) mod release;

use std::net::IpAddr;

use serde_json::{Value, json};

use super::api::text;
use super::host::HostFiles;
use super::machine::Machine;

/// Where configurations lie.
pub(crate) const CONFIGURATION: &str = "/etc/cni/net.d";
/// Where plugins lie.
pub(crate) const BINARIES: &str = "/opt/cni/bin";
/// Where libcni keeps what ADD returned.
const RESULTS: &str = "/var/lib/cni/results";

const NOT_INITIALIZED: &str = "cni plugin not initialized";

/// A network configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NetworkConf {
    /// The network's name.
    pub(crate) name: String,
    /// Its plugins in order.
    pub(crate) plugins: Vec<Value>,
}

/// A pod's sandbox as a plugin is told of it.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    pub(crate) node: String,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) sandbox: String,
}

impl Attachment {
    pub(crate) fn new(node: &str, pod: &Value, sandbox: &str) -> Self {
        Self {
            node: node.to_owned(),
            namespace: text(pod, "/metadata/namespace").to_owned(),
            pod: text(pod, "/metadata/name").to_owned(),
            sandbox: sandbox.to_owned(),
        }
    }
}

/// The configuration in force: the first readable one by file name.
pub(crate) fn active(files: &HostFiles) -> Option<NetworkConf> {
    files.list(CONFIGURATION).iter().find_map(|name| {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        if !matches!(extension, Some("conf" | "conflist" | "json")) {
            return None;
        }
        let conf: Value = serde_json::from_str(&files.read_text(&format!("{CONFIGURATION}/{name}"))?).ok()?;
        let plugins = match conf["plugins"].as_array() {
            Some(plugins) => plugins.clone(),
            None => vec![conf.clone()],
        };
        let valid = !plugins.is_empty() && plugins.iter().all(|plugin| plugin["type"].is_string());
        valid.then(|| NetworkConf { name: text(&conf, "/name").to_owned(), plugins })
    })
}

fn find_binary(files: &HostFiles, kind: &str) -> Result<(), String> {
    match files.exists(&format!("{BINARIES}/{kind}")) {
        true => Ok(()),
        false => Err(format!("failed to find plugin \"{kind}\" in path [{BINARIES}]")),
    }
}

/// Connects a sandbox; the addresses that it got.
///
/// # Errors
/// The runtime's message.
pub(crate) async fn add(machine: &Machine, attachment: &Attachment) -> Result<Vec<IpAddr>, String> {
    let files = machine.host.files();
    let id = &attachment.sandbox;
    let setup = |message: String| format!("failed to setup network for sandbox \"{id}\": {message}");
    let conf = active(files).ok_or_else(|| setup(NOT_INITIALIZED.to_owned()))?;
    let mut addresses = Vec::new();
    for plugin in &conf.plugins {
        let kind = text(plugin, "/type");
        find_binary(files, kind).map_err(setup)?;
        let failed = |message: String| setup(format!("plugin type=\"{kind}\" failed (add): {message}"));
        match kind {
            "calico" => {
                addresses = calico::add(machine, plugin, &conf.name, attachment).await.map_err(failed)?
            }
            "flannel" => addresses = flannel::add(files, plugin, &conf.name, attachment).map_err(failed)?,
            "bridge" | "ptp" if !text(plugin, "/ipam/type").is_empty() => {
                addresses = flannel::host_local(files, &plugin["ipam"], &conf.name, id).map_err(failed)?;
            }
            // Plugins that only add to what another made, or make nothing.
            _ => {}
        }
    }
    if addresses.is_empty() {
        return Err(format!("failed to find network info for sandbox \"{id}\""));
    }
    let result = json!({"networkName": conf.name, "containerId": id, "ips": addresses});
    // The cache is the runtime's own directory; nothing else lies there.
    let _ = files.write(&result_file(&conf.name, id), result.to_string(), 0o600);
    Ok(addresses)
}

fn result_file(network: &str, sandbox: &str) -> String {
    format!("{RESULTS}/{network}-{sandbox}-eth0")
}

/// Disconnects a sandbox, by the plugins in force now.
///
/// # Errors
/// The runtime's message.
pub(crate) async fn del(machine: &Machine, attachment: &Attachment) -> Result<(), String> {
    let files = machine.host.files();
    let id = &attachment.sandbox;
    let destroy = |message: String| format!("failed to destroy network for sandbox \"{id}\": {message}");
    let conf = active(files).ok_or_else(|| destroy(NOT_INITIALIZED.to_owned()))?;
    for plugin in conf.plugins.iter().rev() {
        let kind = text(plugin, "/type");
        find_binary(files, kind).map_err(destroy)?;
        let failed = |message: String| destroy(format!("plugin type=\"{kind}\" failed (delete): {message}"));
        match kind {
            "calico" => calico::del(machine, plugin, &conf.name, attachment).await.map_err(failed)?,
            "flannel" => flannel::del(files, &conf.name, id),
            "bridge" | "ptp" => flannel::release(files, &conf.name, id),
            _ => {}
        }
    }
    files.remove(&result_file(&conf.name, id));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_readable_configuration_is_in_force() {
        let files = HostFiles::new();
        assert_eq!(active(&files), None);
        let conf = |name: &str, kind: &str| json!({"name": name, "plugins": [{"type": kind}]}).to_string();
        files.write("/etc/cni/net.d/10-flannel.conflist", conf("cbr0", "flannel"), 0o644).unwrap();
        files.write("/etc/cni/net.d/10-calico.conflist", conf("k8s-pod-network", "calico"), 0o644).unwrap();
        files.write("/etc/cni/net.d/calico-kubeconfig", "x", 0o600).unwrap();
        assert_eq!(active(&files).unwrap().name, "k8s-pod-network");
        files.write("/etc/cni/net.d/00-hold.conflist", "{not json", 0o644).unwrap();
        assert_eq!(active(&files).unwrap().name, "k8s-pod-network");
        files.write("/etc/cni/net.d/00-hold.conflist", conf("hold", "loopback"), 0o644).unwrap();
        assert_eq!(active(&files).unwrap().name, "hold");
    }
}
