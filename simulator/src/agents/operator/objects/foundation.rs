//! Namespaces, configuration and certificates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{RBAC, Surroundings};
use crate::agents::operator::SYSTEM;

/// A namespace with the operator's right to write Secrets in it.
pub(super) fn namespace(name: &str, policy: &str) -> Vec<Value> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {
            "name": name,
            "pod-security.kubernetes.io/enforce": policy,
            "pod-security.kubernetes.io/enforce-version": "latest",
        }},
    });
    let binding = json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding",
        "metadata": {"name": "tigera-operator-secrets", "namespace": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "tigera-operator-secrets"},
        "subjects": [{"kind": "ServiceAccount", "name": "tigera-operator", "namespace": "tigera-operator"}],
    });
    vec![namespace, binding]
}

/// A certificate and its key: nobody here looks into them.
pub(super) fn certificate(namespace: &str, name: &str) -> Value {
    let pem = |what: &str| {
        let body = STANDARD.encode(format!("simulated/{namespace}/{name}"));
        STANDARD.encode(format!("-----BEGIN {what}-----\n{body}\n-----END {what}-----\n"))
    };
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"tls.crt": pem("CERTIFICATE"), "tls.key": pem("PRIVATE KEY")},
    })
}

pub(super) fn secrets() -> Vec<Value> {
    let mut secrets = vec![certificate("tigera-operator", "tigera-ca-private")];
    for name in ["node-certs", "typha-certs"] {
        secrets.push(certificate("tigera-operator", name));
        secrets.push(certificate(SYSTEM, name));
    }
    secrets
}

fn map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": SYSTEM}, "data": data})
}

pub(super) fn objects(surroundings: &Surroundings<'_>) -> Vec<Value> {
    let mut objects = namespace(SYSTEM, "privileged");
    objects.push(map("tigera-ca-bundle", json!({"tigera-ca-bundle.crt": "simulated\n"})));
    objects.push(map("active-operator", json!({"active-namespace": "tigera-operator"})));
    objects.push(map("cni-config", json!({"config": cni(surroundings.installation).to_string()})));
    objects
}

/// The network configuration, before the installer fills in the node's part.
fn cni(installation: &Value) -> Value {
    let network = &installation["spec"]["calicoNetwork"];
    let pools = network["ipPools"].as_array().cloned().unwrap_or_default();
    let has =
        |v6: bool| pools.iter().any(|pool| pool["cidr"].as_str().unwrap_or_default().contains(':') == v6);
    let ipam = match installation["spec"]["cni"]["ipam"]["type"].as_str() {
        Some("HostLocal") => json!({"type": "host-local", "subnet": "usePodCidr"}),
        _ => json!({
            "type": "calico-ipam",
            "assign_ipv4": if has(false) { "true" } else { "false" },
            "assign_ipv6": if has(true) { "true" } else { "false" },
        }),
    };
    let calico = json!({
        "type": "calico",
        "datastore_type": "kubernetes",
        "nodename_file_optional": false,
        "log_file_path": "/var/log/calico/cni/cni.log",
        "log_level": "Info",
        "mtu": network["mtu"].as_u64().unwrap_or(0),
        "ipam": ipam,
        "container_settings": {"allow_ip_forwarding": network["containerIPForwarding"] == "Enabled"},
        "policy": {"type": "k8s"},
        "kubernetes": {"k8s_api_root": "__K8S_API_ROOT__", "kubeconfig": "__KUBECONFIG_FILEPATH__"},
    });
    let mut plugins = vec![calico, json!({"type": "bandwidth", "capabilities": {"bandwidth": true}})];
    if network["hostPorts"] != "Disabled" {
        plugins.push(json!({"type": "portmap", "snat": true, "capabilities": {"portMappings": true}}));
    }
    json!({"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": plugins})
}
