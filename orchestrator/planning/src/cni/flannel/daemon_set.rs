//! Flannel's DaemonSet.

use super::{IMAGE, NAMESPACE, PLUGIN_IMAGE};
use crate::cni::{GATE_LABEL, NEW_SIDE};
use serde_json::{Value, json};

const NAME: &str = "kube-flannel-ds";

/// The DaemonSet's body.
pub(super) fn body(image: Option<&str>, labels: &Value) -> Value {
    let image = image.unwrap_or(IMAGE);
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": {"app": "flannel"}},
            "template": {
                // A selector can't be changed: upstream's next manifest must find its own here.
                "metadata": {"labels": {"app": "flannel", "tier": "node"}},
                "spec": {
                    "affinity": linux_only(),
                    "nodeSelector": {GATE_LABEL: NEW_SIDE},
                    "hostNetwork": true,
                    "priorityClassName": "system-node-critical",
                    "serviceAccountName": "flannel",
                    "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
                    "initContainers": [copy_plugin(), copy_configuration(image)],
                    "containers": [agent(image)],
                    "volumes": volumes(),
                },
            },
        },
    })
}

fn linux_only() -> Value {
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}
    ]}}})
}

fn copy_plugin() -> Value {
    json!({
        "name": "install-cni-plugin",
        "image": PLUGIN_IMAGE,
        "command": ["cp"],
        "args": ["-f", "/flannel", "/opt/cni/bin/flannel"],
        "volumeMounts": [{"name": "cni-plugin", "mountPath": "/opt/cni/bin"}],
    })
}

fn copy_configuration(image: &str) -> Value {
    json!({
        "name": "install-cni",
        "image": image,
        // Not `cp`: the kubelet must never read half a file.
        "command": ["/opt/bin/install-conf"],
        "args": ["/etc/kube-flannel/cni-conf.json", "/etc/cni/net.d/10-flannel.conflist"],
        "volumeMounts": [
            {"name": "cni", "mountPath": "/etc/cni/net.d"},
            {"name": "flannel-cfg", "mountPath": "/etc/kube-flannel/"},
        ],
    })
}

fn agent(image: &str) -> Value {
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let probe = |path: &str, delay: u32, period: u32| {
        let get = json!({"path": path, "port": "healthz"});
        json!({"httpGet": get, "initialDelaySeconds": delay, "periodSeconds": period})
    };
    json!({
        "name": "kube-flannel",
        "image": image,
        "command": ["/opt/bin/flanneld"],
        "args": ["--ip-masq", "--kube-subnet-mgr", "--healthz-port=8081"],
        "ports": [{"name": "healthz", "containerPort": 8081, "protocol": "TCP"}],
        "livenessProbe": probe("/healthz", 10, 30),
        "readinessProbe": probe("/readyz", 5, 10),
        "resources": {"requests": {"cpu": "100m", "memory": "50Mi"}},
        "securityContext": {"privileged": false, "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
        "env": [
            {"name": "POD_NAME", "valueFrom": field("metadata.name")},
            {"name": "POD_NAMESPACE", "valueFrom": field("metadata.namespace")},
            {"name": "EVENT_QUEUE_DEPTH", "value": "5000"},
            {"name": "CONT_WHEN_CACHE_NOT_READY", "value": "false"},
        ],
        "volumeMounts": [
            {"name": "run", "mountPath": "/run/flannel"},
            {"name": "flannel-cfg", "mountPath": "/etc/kube-flannel/"},
            {"name": "xtables-lock", "mountPath": "/run/xtables.lock"},
        ],
    })
}

fn volumes() -> Value {
    json!([
        {"name": "run", "hostPath": {"path": "/run/flannel"}},
        {"name": "cni-plugin", "hostPath": {"path": "/opt/cni/bin"}},
        {"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}},
        {"name": "flannel-cfg", "configMap": {"name": "kube-flannel-cfg"}},
        {"name": "xtables-lock", "hostPath": {"path": "/run/xtables.lock", "type": "FileOrCreate"}},
    ])
}
