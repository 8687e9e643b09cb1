//! The agents: one on every node, and the controllers.

use super::VERSION;
use serde_json::{Value, json};

fn image(name: &str) -> String {
    format!("quay.io/calico/{name}:{VERSION}")
}

fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

fn from_config(name: &str, key: &str) -> Value {
    json!({"name": name, "valueFrom": {"configMapKeyRef": {"name": "calico-config", "key": key}}})
}

fn from_field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

/// The DaemonSet.
pub(super) fn node() -> Value {
    let labels = json!({"k8s-app": "calico-node"});
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "calico-node", "namespace": "kube-system", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "hostNetwork": true,
                    "priorityClassName": "system-node-critical",
                    "serviceAccountName": "calico-node",
                    "terminationGracePeriodSeconds": 0,
                    "tolerations": [
                        {"effect": "NoSchedule", "operator": "Exists"},
                        {"effect": "NoExecute", "operator": "Exists"},
                    ],
                    "initContainers": [install()],
                    "containers": [agent()],
                    "volumes": [
                        {"name": "plugins", "hostPath": {"path": "/opt/cni/bin", "type": "DirectoryOrCreate"}},
                        {"name": "networks", "hostPath": {"path": "/etc/cni/net.d"}},
                        {"name": "state", "hostPath": {"path": "/var/lib/calico", "type": "DirectoryOrCreate"}},
                        {"name": "run", "hostPath": {"path": "/var/run/calico", "type": "DirectoryOrCreate"}},
                    ],
                },
            },
        },
    })
}

fn install() -> Value {
    json!({
        "name": "install-cni",
        "image": image("cni"),
        "command": ["/opt/cni/bin/install"],
        "env": [
            variable("CNI_CONF_NAME", "10-calico.conflist"),
            from_config("CNI_NETWORK_CONFIG", "cni_network_config"),
            from_field("KUBERNETES_NODE_NAME", "spec.nodeName"),
            from_config("CNI_MTU", "veth_mtu"),
            variable("SLEEP", "false"),
        ],
        "volumeMounts": [
            {"name": "plugins", "mountPath": "/host/opt/cni/bin"},
            {"name": "networks", "mountPath": "/host/etc/cni/net.d"},
        ],
        "securityContext": {"privileged": true},
    })
}

fn agent() -> Value {
    json!({
        "name": "calico-node",
        "image": image("node"),
        "env": [
            variable("DATASTORE_TYPE", "kubernetes"),
            variable("WAIT_FOR_DATASTORE", "true"),
            from_field("NODENAME", "spec.nodeName"),
            from_config("CALICO_NETWORKING_BACKEND", "calico_backend"),
            variable("CLUSTER_TYPE", "k8s,bgp"),
            variable("IP", "autodetect"),
            variable("CALICO_IPV4POOL_IPIP", "Always"),
            variable("CALICO_IPV4POOL_VXLAN", "Never"),
            variable("CALICO_DISABLE_FILE_LOGGING", "true"),
            variable("FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT"),
            variable("FELIX_IPV6SUPPORT", "false"),
            variable("FELIX_HEALTHENABLED", "true"),
        ],
        "resources": {"requests": {"cpu": "250m"}},
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/calico-node", "-shutdown"]}}},
        "readinessProbe": {
            "exec": {"command": ["/bin/calico-node", "-felix-ready", "-bird-ready"]}, "periodSeconds": 10,
        },
        "volumeMounts": [
            {"name": "networks", "mountPath": "/host/etc/cni/net.d"},
            {"name": "state", "mountPath": "/var/lib/calico"},
            {"name": "run", "mountPath": "/var/run/calico"},
        ],
        "securityContext": {"privileged": true},
    })
}

/// kube-controllers with its budget.
pub(super) fn controllers() -> Vec<Value> {
    let labels = json!({"k8s-app": "calico-kube-controllers"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "calico-kube-controllers", "namespace": "kube-system", "labels": labels},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "priorityClassName": "system-cluster-critical",
                    "serviceAccountName": "calico-kube-controllers",
                    "tolerations": [
                        {"key": "CriticalAddonsOnly", "operator": "Exists"},
                        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                    ],
                    "containers": [{
                        "name": "calico-kube-controllers",
                        "image": image("kube-controllers"),
                        "env": [variable("ENABLED_CONTROLLERS", "node"), variable("DATASTORE_TYPE", "kubernetes")],
                        "readinessProbe": {"exec": {"command": ["/usr/bin/check-status", "-r"]}},
                    }],
                },
            },
        },
    });
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "calico-kube-controllers", "namespace": "kube-system", "labels": labels},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
    });
    vec![deployment, budget]
}
