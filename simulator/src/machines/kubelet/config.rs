//! What a kubelet is told by the files that kubeadm leaves.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::machines::machine::{KUBELET_CONFIG, Machine};

/// The flags that kubeadm renders.
pub(crate) const FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";
/// The kubelet's credentials.
pub(crate) const KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
/// The credentials for the first contact.
pub(crate) const BOOTSTRAP_KUBECONFIG: &str = "/etc/kubernetes/bootstrap-kubelet.conf";

/// A kubelet's settings.
#[derive(Clone, Debug)]
pub(super) struct KubeletConfig {
    pub(super) node: String,
    pub(super) provider_id: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) taints: Vec<Value>,
    pub(super) max_pods: u64,
    pub(super) static_pod_path: String,
    /// Whether it speaks to the API server of its own machine.
    pub(super) local_api: bool,
    /// Whether its serving certificate comes from the API.
    pub(super) server_tls_bootstrap: bool,
    /// With an external cloud provider a new Node waits for the cloud's controller.
    pub(super) external_cloud: bool,
}

impl KubeletConfig {
    /// Reads the files of a machine.
    ///
    /// # Errors
    /// A sentence as the kubelet would log it.
    pub(super) fn read(machine: &Machine) -> Result<Self, String> {
        let files = machine.host.files();
        let text = files
            .read_text(KUBELET_CONFIG)
            .ok_or_else(|| format!("failed to load kubelet config file, path: {KUBELET_CONFIG}"))?;
        let config: Value =
            serde_saphyr::from_str(&text).map_err(|error| format!("{KUBELET_CONFIG}: {error}"))?;
        let kubeconfig = files
            .read_text(KUBECONFIG)
            .or_else(|| files.read_text(BOOTSTRAP_KUBECONFIG))
            .ok_or_else(|| format!("unable to load bootstrap kubeconfig: stat {BOOTSTRAP_KUBECONFIG}: no such file or directory"))?;
        let flags = flags(&files.read_text(FLAGS).unwrap_or_default());
        let flag = |name: &str| flags.get(name).cloned().unwrap_or_default();
        let mut taints: Vec<Value> = config["registerWithTaints"].as_array().cloned().unwrap_or_default();
        taints.extend(flag("register-with-taints").split(',').filter_map(taint));
        let node = match flag("hostname-override") {
            name if name.is_empty() => machine.host.identity().hostname.to_lowercase(),
            name => name,
        };
        Ok(Self {
            node,
            provider_id: match flag("provider-id") {
                id if id.is_empty() => config["providerID"].as_str().unwrap_or_default().to_owned(),
                id => id,
            },
            labels: flag("node-labels")
                .split(',')
                .filter_map(|label| label.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            taints,
            max_pods: flag("max-pods").parse().ok().or(config["maxPods"].as_u64()).unwrap_or(110),
            static_pod_path: config["staticPodPath"]
                .as_str()
                .unwrap_or("/etc/kubernetes/manifests")
                .to_owned(),
            local_api: kubeconfig
                .contains(&crate::machines::urls::https(&machine.host.address().to_string(), 6443)),
            server_tls_bootstrap: config["serverTLSBootstrap"] == true,
            external_cloud: flag("cloud-provider") == "external",
        })
    }
}

fn flags(text: &str) -> BTreeMap<String, String> {
    let line = text.lines().find_map(|line| line.strip_prefix("KUBELET_KUBEADM_ARGS="));
    line.unwrap_or_default()
        .trim_matches('"')
        .split_whitespace()
        .filter_map(|word| word.trim_start_matches('-').split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// `key=value:effect` as a taint.
fn taint(text: &str) -> Option<Value> {
    let (key_value, effect) = text.rsplit_once(':')?;
    let (key, value) = key_value.split_once('=').unwrap_or((key_value, ""));
    Some(match value {
        "" => serde_json::json!({"key": key, "effect": effect}),
        value => serde_json::json!({"key": key, "value": value, "effect": effect}),
    })
}
