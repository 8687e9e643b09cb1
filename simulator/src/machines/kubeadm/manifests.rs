//! The static pods of a control plane.

use std::collections::BTreeMap;

use crate::machines::urls::{https, loopback};
use serde_json::{Value, json};

use super::config::{extra_args, field};
use super::{Failure, Kubeadm};

const PKI: &str = "/etc/kubernetes/pki";
pub(super) const MANIFESTS: &str = "/etc/kubernetes/manifests";
const DEFAULT_SERVICES: &str = "10.96.0.0/12";

impl Kubeadm<'_> {
    /// Writes the manifests of API server, controller manager and scheduler.
    pub(super) fn write_control_plane(&self, config: &Value) -> Result<(), Failure> {
        let address = self.machine.host.address().to_string();
        for (name, pod) in [
            ("kube-apiserver", apiserver(config, &address)),
            ("kube-controller-manager", controller_manager(config)),
            ("kube-scheduler", scheduler(config)),
        ] {
            self.write(&format!("{MANIFESTS}/{name}.yaml"), serde_saphyr::to_string(&pod)?, 0o600)?;
        }
        Ok(())
    }

    /// Writes etcd's manifest.
    pub(super) fn write_etcd(&self, config: &Value, node: &str, peers: &str) -> Result<(), Failure> {
        let address = self.machine.host.address().to_string();
        let pod = etcd(config, node, &address, peers);
        self.write(&format!("{MANIFESTS}/etcd.yaml"), serde_saphyr::to_string(&pod)?, 0o600)
    }
}

fn image(config: &Value, name: &str) -> String {
    let repository = field(config, "/imageRepository", "registry.k8s.io");
    let tag = match name {
        "etcd" => field(config, "/etcd/local/imageTag", "3.6.5-0"),
        _ => field(config, "/kubernetesVersion", "v1.34.4"),
    };
    format!("{repository}/{name}:{tag}")
}

/// A static pod with one container on the host's network.
fn pod(
    config: &Value,
    component: &str,
    flags: &[(&str, &str)],
    given: &Value,
    volumes: &[(&str, &str)],
    probe: (&str, u16),
) -> Value {
    let mut all: BTreeMap<String, String> =
        flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.extend(extra_args(&given["extraArgs"]));
    let mut command = vec![component.to_owned()];
    command.extend(all.iter().map(|(name, value)| format!("--{name}={value}")));
    let mut mounts: Vec<Value> = Vec::new();
    let mut sources: Vec<Value> = Vec::new();
    for (name, path) in volumes {
        let kind = if path.ends_with(".conf") { "FileOrCreate" } else { "DirectoryOrCreate" };
        let read_only = *name != "etcd-data";
        mounts.push(json!({"name": name, "mountPath": path, "readOnly": read_only}));
        sources.push(json!({"name": name, "hostPath": {"path": path, "type": kind}}));
    }
    for extra in given["extraVolumes"].as_array().into_iter().flatten() {
        let read_only = extra["readOnly"].as_bool().unwrap_or(false);
        mounts.push(json!({"name": extra["name"], "mountPath": extra["mountPath"], "readOnly": read_only}));
        sources.push(json!({"name": extra["name"], "hostPath": {"path": extra["hostPath"], "type": extra["pathType"]}}));
    }
    let (path, port) = probe;
    let scheme = if component == "etcd" { "HTTP" } else { "HTTPS" };
    let check = |failures: u32, period: u32| {
        json!({
            "failureThreshold": failures,
            "httpGet": {"host": "127.0.0.1", "path": path, "port": port, "scheme": scheme},
            "periodSeconds": period,
            "timeoutSeconds": 15,
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "labels": {"component": component, "tier": "control-plane"},
            "name": component,
            "namespace": "kube-system",
        },
        "spec": {
            "containers": [{
                "command": command,
                "image": image(config, component),
                "imagePullPolicy": "IfNotPresent",
                "livenessProbe": check(8, 10),
                "name": component,
                "readinessProbe": check(3, 1),
                "resources": {"requests": {"cpu": "100m"}},
                "startupProbe": check(24, 10),
                "volumeMounts": mounts,
            }],
            "hostNetwork": true,
            "priority": 2_000_001_000,
            "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": sources,
        },
    })
}

fn apiserver(config: &Value, address: &str) -> Value {
    let etcd = https(loopback(address), 2379);
    let services = field(config, "/networking/serviceSubnet", DEFAULT_SERVICES);
    let domain = field(config, "/networking/dnsDomain", "cluster.local");
    let issuer = format!("https://kubernetes.default.svc.{domain}");
    let file = |name: &str| format!("{PKI}/{name}");
    let files: Vec<(&str, String)> = vec![
        ("client-ca-file", file("ca.crt")),
        ("etcd-cafile", file("etcd/ca.crt")),
        ("etcd-certfile", file("apiserver-etcd-client.crt")),
        ("etcd-keyfile", file("apiserver-etcd-client.key")),
        ("kubelet-client-certificate", file("apiserver-kubelet-client.crt")),
        ("kubelet-client-key", file("apiserver-kubelet-client.key")),
        ("proxy-client-cert-file", file("front-proxy-client.crt")),
        ("proxy-client-key-file", file("front-proxy-client.key")),
        ("requestheader-client-ca-file", file("front-proxy-ca.crt")),
        ("service-account-key-file", file("sa.pub")),
        ("service-account-signing-key-file", file("sa.key")),
        ("tls-cert-file", file("apiserver.crt")),
        ("tls-private-key-file", file("apiserver.key")),
    ];
    let mut flags = vec![
        ("advertise-address", address),
        ("allow-privileged", "true"),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("enable-bootstrap-token-auth", "true"),
        ("etcd-servers", &etcd),
        ("kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname"),
        ("requestheader-allowed-names", "front-proxy-client"),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        ("requestheader-group-headers", "X-Remote-Group"),
        ("requestheader-username-headers", "X-Remote-User"),
        ("secure-port", "6443"),
        ("service-account-issuer", &issuer),
        ("service-cluster-ip-range", services),
    ];
    flags.extend(files.iter().map(|(name, path)| (*name, path.as_str())));
    let volumes = [("ca-certs", "/etc/ssl/certs"), ("k8s-certs", PKI)];
    pod(config, "kube-apiserver", &flags, &config["apiServer"], &volumes, ("/readyz", 6443))
}

fn controller_manager(config: &Value) -> Value {
    let services = field(config, "/networking/serviceSubnet", DEFAULT_SERVICES);
    let pods = field(config, "/networking/podSubnet", "");
    let kubeconfig = "/etc/kubernetes/controller-manager.conf";
    let file = |name: &str| format!("{PKI}/{name}");
    let (ca, ca_key, sa, front) =
        (file("ca.crt"), file("ca.key"), file("sa.key"), file("front-proxy-ca.crt"));
    let mut flags = vec![
        ("authentication-kubeconfig", kubeconfig),
        ("authorization-kubeconfig", kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("client-ca-file", &ca),
        ("cluster-name", field(config, "/clusterName", "kubernetes")),
        ("cluster-signing-cert-file", &ca),
        ("cluster-signing-key-file", &ca_key),
        ("controllers", "*,bootstrapsigner,tokencleaner"),
        ("kubeconfig", kubeconfig),
        ("leader-elect", "true"),
        ("requestheader-client-ca-file", &front),
        ("root-ca-file", &ca),
        ("service-account-private-key-file", &sa),
        ("use-service-account-credentials", "true"),
    ];
    // Clusters made without podSubnet have none of these.
    if !pods.is_empty() {
        flags.extend([
            ("allocate-node-cidrs", "true"),
            ("cluster-cidr", pods),
            ("service-cluster-ip-range", services),
        ]);
    }
    let volumes = [("ca-certs", "/etc/ssl/certs"), ("k8s-certs", PKI), ("kubeconfig", kubeconfig)];
    pod(
        config,
        "kube-controller-manager",
        &flags,
        &config["controllerManager"],
        &volumes,
        ("/healthz", 10257),
    )
}

fn scheduler(config: &Value) -> Value {
    let kubeconfig = "/etc/kubernetes/scheduler.conf";
    let flags = [
        ("authentication-kubeconfig", kubeconfig),
        ("authorization-kubeconfig", kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("kubeconfig", kubeconfig),
        ("leader-elect", "true"),
    ];
    pod(
        config,
        "kube-scheduler",
        &flags,
        &config["scheduler"],
        &[("kubeconfig", kubeconfig)],
        ("/readyz", 10259),
    )
}

fn etcd(config: &Value, node: &str, address: &str, peers: &str) -> Value {
    let (client, peer) = (https(address, 2379), https(address, 2380));
    let listen = format!("{},{client}", https(loopback(address), 2379));
    let file = |name: &str| format!("{PKI}/etcd/{name}");
    let files = [
        ("cert-file", file("server.crt")),
        ("key-file", file("server.key")),
        ("peer-cert-file", file("peer.crt")),
        ("peer-key-file", file("peer.key")),
        ("peer-trusted-ca-file", file("ca.crt")),
        ("trusted-ca-file", file("ca.crt")),
    ];
    let state = if peers.contains(',') { "existing" } else { "new" };
    let mut flags = vec![
        ("advertise-client-urls", client.as_str()),
        ("client-cert-auth", "true"),
        ("data-dir", "/var/lib/etcd"),
        ("initial-advertise-peer-urls", &peer),
        ("initial-cluster", peers),
        ("initial-cluster-state", state),
        ("listen-client-urls", &listen),
        ("listen-metrics-urls", "http://127.0.0.1:2381"),
        ("listen-peer-urls", &peer),
        ("name", node),
        ("peer-client-cert-auth", "true"),
        ("snapshot-count", "10000"),
    ];
    flags.extend(files.iter().map(|(name, path)| (*name, path.as_str())));
    let volumes = [("etcd-data", "/var/lib/etcd"), ("etcd-certs", "/etc/kubernetes/pki/etcd")];
    pod(config, "etcd", &flags, &config["etcd"]["local"], &volumes, ("/readyz", 2381))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_args_win_over_what_pod_subnet_renders() {
        let config = json!({
            "networking": {"podSubnet": "10.244.0.0/16"},
            "controllerManager": {"extraArgs": [{"name": "allocate-node-cidrs", "value": "false"}]},
        });
        let command = controller_manager(&config)["spec"]["containers"][0]["command"].clone();
        let words: Vec<&str> = command.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(words.contains(&"--allocate-node-cidrs=false"));
        assert!(words.contains(&"--cluster-cidr=10.244.0.0/16"));
        assert!(!controller_manager(&json!({}))["spec"].to_string().contains("cluster-cidr"));
    }
}
