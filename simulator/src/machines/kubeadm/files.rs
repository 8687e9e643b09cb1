//! The kubelet's files and the kubeconfigs.

use serde_json::{Value, json};

use super::config::extra_args;
use super::{Failure, Kubeadm};
use crate::machines::machine::KUBELET_CONFIG;

/// The port of every API server.
pub(super) const PORT: u16 = 6443;

impl Kubeadm<'_> {
    /// `https://ADDRESS:6443` of this machine.
    pub(super) fn local_endpoint(&self) -> String {
        crate::machines::urls::https(&self.machine.host.address().to_string(), PORT)
    }

    /// Writes a kubeconfig; the key in it is a stand-in.
    pub(super) fn write_kubeconfig(&self, name: &str, server: &str, user: &str) -> Result<(), Failure> {
        let authority = self.machine.host.files().read_text("/etc/kubernetes/pki/ca.crt").unwrap_or_default();
        let document = kubeconfig(server, &authority, user);
        self.write(&format!("/etc/kubernetes/{name}"), serde_saphyr::to_string(&document)?, 0o600)
    }

    /// Writes what the kubelet reads at its start.
    pub(super) fn write_kubelet_files(
        &self,
        config: &str,
        node: &str,
        registration: &Value,
    ) -> Result<(), Failure> {
        self.write(KUBELET_CONFIG, config, 0o644)?;
        let mut flags = vec![
            (
                "container-runtime-endpoint".to_owned(),
                "unix:///var/run/containerd/containerd.sock".to_owned(),
            ),
            ("hostname-override".to_owned(), node.to_owned()),
        ];
        let taints = registration["taints"].as_array().into_iter().flatten().map(|taint| {
            let part = |key: &str| taint[key].as_str().unwrap_or_default().to_owned();
            format!("{}={}:{}", part("key"), part("value"), part("effect"))
        });
        let taints = taints.collect::<Vec<_>>().join(",");
        if !taints.is_empty() {
            flags.push(("register-with-taints".to_owned(), taints));
        }
        for (name, value) in extra_args(&registration["kubeletExtraArgs"]) {
            flags.retain(|(other, _)| *other != name);
            flags.push((name, value));
        }
        let line =
            flags.iter().map(|(name, value)| format!("--{name}={value}")).collect::<Vec<_>>().join(" ");
        let content = format!("KUBELET_KUBEADM_ARGS=\"{line}\"\n");
        self.write("/var/lib/kubelet/kubeadm-flags.env", content, 0o644)
    }
}

/// A kubeconfig for one user.
pub(super) fn kubeconfig(server: &str, authority: &str, user: &str) -> Value {
    use base64::Engine as _;
    let authority = base64::engine::general_purpose::STANDARD.encode(authority);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kubernetes", "cluster": {"certificate-authority-data": authority, "server": server}}],
        "contexts": [{"name": format!("{user}@kubernetes"), "context": {"cluster": "kubernetes", "user": user}}],
        "current-context": format!("{user}@kubernetes"),
        "users": [{"name": user, "user": {}}],
    })
}

/// The kubelet's configuration as kubeadm renders it.
pub(super) fn kubelet_config(
    service_subnet: &str,
    domain: &str,
    given: Option<&Value>,
) -> Result<String, Failure> {
    // The cluster's DNS is the tenth address of the services' range.
    let primary = service_subnet.split(',').next().unwrap_or_default();
    let dns = primary
        .trim()
        .parse::<ipnet::IpNet>()
        .ok()
        .and_then(|range| range.hosts().nth(9))
        .map_or_else(|| "10.96.0.10".to_owned(), |address| address.to_string());
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"cacheTTL": "0s", "enabled": true},
            "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "0s", "cacheUnauthorizedTTL": "0s"}},
        "cgroupDriver": "systemd",
        "clusterDNS": [dns],
        "clusterDomain": domain,
        "rotateCertificates": true,
        "staticPodPath": "/etc/kubernetes/manifests",
    });
    for (key, value) in given.and_then(Value::as_object).into_iter().flatten() {
        config[key] = value.clone();
    }
    Ok(serde_saphyr::to_string(&config)?)
}
