//! The agents: one on every node, and the controllers.

use super::{Calico, Shape};
use serde_json::{Value, json};

/// A variable with a fixed value.
pub(super) fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// A variable with a value of a ConfigMap.
pub(super) fn from_map(name: &str, map: &str, key: &str) -> Value {
    json!({"name": name, "valueFrom": {"configMapKeyRef": {"name": map, "key": key}}})
}

fn from_config(name: &str, key: &str) -> Value {
    from_map(name, "calico-config", key)
}

/// A variable with a field of the pod.
pub(super) fn from_field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

/// The DaemonSet.
pub(super) fn node(calico: &Calico) -> Value {
    let mut containers = vec![agent(calico)];
    let mut volumes = json!([
        {"name": "plugins", "hostPath": {"path": "/opt/cni/bin", "type": "DirectoryOrCreate"}},
        {"name": "networks", "hostPath": {"path": "/etc/cni/net.d"}},
        {"name": "state", "hostPath": {"path": "/var/lib/calico", "type": "DirectoryOrCreate"}},
        {"name": "run", "hostPath": {"path": "/var/run/calico", "type": "DirectoryOrCreate"}},
    ]);
    let further = match calico.shape {
        Shape::Etcd => Some(json!({
            "name": "etcd-certs", "secret": {"secretName": "calico-etcd-secrets", "defaultMode": 0o400},
        })),
        Shape::Canal => Some(json!({"name": "flannel-cfg", "configMap": {"name": "canal-config"}})),
        _ => None,
    };
    volumes.as_array_mut().into_iter().for_each(|list| list.extend(further.clone()));
    if calico.shape == Shape::Canal {
        containers.push(super::canal::flanneld());
    }
    let name = name_of(calico);
    let labels = json!({"k8s-app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "hostNetwork": true,
                    "priorityClassName": "system-node-critical",
                    "serviceAccountName": name,
                    "terminationGracePeriodSeconds": 0,
                    "tolerations": [
                        {"effect": "NoSchedule", "operator": "Exists"},
                        {"effect": "NoExecute", "operator": "Exists"},
                    ],
                    "initContainers": [install(calico)],
                    "containers": containers,
                    "volumes": volumes,
                },
            },
        },
    })
}

/// The agents' DaemonSet, account and label.
fn name_of(calico: &Calico) -> &'static str {
    if calico.shape == Shape::Canal { "canal" } else { "calico-node" }
}

/// The ConfigMap that the agents read.
fn map_of(calico: &Calico) -> &'static str {
    if calico.shape == Shape::Canal { "canal-config" } else { "calico-config" }
}

/// Where the agents find Calico's records.
fn datastore(calico: &Calico) -> Vec<Value> {
    match calico.shape {
        Shape::Etcd => vec![
            from_config("ETCD_ENDPOINTS", "etcd_endpoints"),
            from_config("ETCD_CA_CERT_FILE", "etcd_ca"),
            from_config("ETCD_CERT_FILE", "etcd_cert"),
            from_config("ETCD_KEY_FILE", "etcd_key"),
        ],
        Shape::Definitions => {
            vec![
                variable("DATASTORE_TYPE", "kubernetes"),
                variable("CALICO_API_GROUP", "projectcalico.org/v3"),
            ]
        }
        _ => vec![variable("DATASTORE_TYPE", "kubernetes")],
    }
}

fn etcd_mount(calico: &Calico) -> Option<Value> {
    (calico.shape == Shape::Etcd).then(|| json!({"name": "etcd-certs", "mountPath": "/calico-secrets"}))
}

fn install(calico: &Calico) -> Value {
    let file = if calico.shape == Shape::Canal { "10-canal.conflist" } else { "10-calico.conflist" };
    let mut env = vec![
        variable("CNI_CONF_NAME", file),
        from_map("CNI_NETWORK_CONFIG", map_of(calico), "cni_network_config"),
        from_field("KUBERNETES_NODE_NAME", "spec.nodeName"),
        from_map("CNI_MTU", map_of(calico), "veth_mtu"),
        variable("SLEEP", "false"),
    ];
    if calico.shape == Shape::Etcd {
        env.push(from_config("ETCD_ENDPOINTS", "etcd_endpoints"));
    }
    env.extend(plugin_account(calico));
    let mut mounts = vec![
        json!({"name": "plugins", "mountPath": "/host/opt/cni/bin"}),
        json!({"name": "networks", "mountPath": "/host/etc/cni/net.d"}),
    ];
    mounts.extend(etcd_mount(calico));
    json!({
        "name": "install-cni",
        "image": calico.image("cni"),
        "command": ["/opt/cni/bin/install"],
        "env": env,
        "envFrom": [{"configMapRef": {"name": "kubernetes-services-endpoint", "optional": true}}],
        "volumeMounts": mounts,
        "securityContext": {"privileged": true},
    })
}

fn agent(calico: &Calico) -> Value {
    let mut env = datastore(calico);
    env.extend([
        variable("WAIT_FOR_DATASTORE", "true"),
        from_field("NODENAME", "spec.nodeName"),
        variable("CALICO_DISABLE_FILE_LOGGING", "true"),
        variable("FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT"),
        variable("FELIX_IPV6SUPPORT", &calico.families.v6().to_string()),
        variable("FELIX_HEALTHENABLED", "true"),
    ]);
    env.extend(plugin_account(calico));
    env.extend(network(calico));
    let mut mounts = vec![
        json!({"name": "networks", "mountPath": "/host/etc/cni/net.d"}),
        json!({"name": "state", "mountPath": "/var/lib/calico"}),
        json!({"name": "run", "mountPath": "/var/run/calico"}),
    ];
    mounts.extend(etcd_mount(calico));
    json!({
        "name": "calico-node",
        "image": calico.image("node"),
        "env": env,
        "envFrom": [{"configMapRef": {"name": "kubernetes-services-endpoint", "optional": true}}],
        "resources": {"requests": {"cpu": "250m"}},
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/calico-node", "-shutdown"]}}},
        "readinessProbe": {
            "exec": {"command": ["/bin/calico-node", "-felix-ready", "-bird-ready"]}, "periodSeconds": 10,
        },
        "volumeMounts": mounts,
        "securityContext": {"privileged": true},
    })
}

/// Whose token the plugin gets, where it has no account of its own.
fn plugin_account(calico: &Calico) -> Option<Value> {
    let agents = calico.shape == Shape::Canal || !calico.own_plugin_account();
    agents.then(|| from_field("CALICO_CNI_SERVICE_ACCOUNT", "spec.serviceAccountName"))
}

/// What makes the agent the network, or only the keeper of policies in another's.
fn network(calico: &Calico) -> Vec<Value> {
    if calico.shape == Shape::Canal {
        return vec![
            variable("USE_POD_CIDR", "true"),
            variable("CALICO_NETWORKING_BACKEND", "none"),
            variable("CLUSTER_TYPE", "k8s,canal"),
            variable("NO_DEFAULT_POOLS", "true"),
            variable("IP", ""),
        ];
    }
    let on = |wanted: bool| if wanted { "autodetect" } else { "none" };
    let mut env = vec![
        from_config("CALICO_NETWORKING_BACKEND", "calico_backend"),
        variable("CLUSTER_TYPE", "k8s,bgp"),
        variable("IP", on(calico.families.v4())),
        variable("CALICO_IPV4POOL_IPIP", "Always"),
        variable("CALICO_IPV4POOL_VXLAN", "Never"),
    ];
    if !calico.families.v4() {
        env.push(variable("CALICO_IPV4POOL_CIDR", "none"));
    }
    if calico.families.v6() {
        env.extend([variable("IP6", "autodetect"), variable("CALICO_IPV6POOL_NAT_OUTGOING", "true")]);
    }
    if calico.shape == Shape::Typha {
        env.push(from_config("FELIX_TYPHAK8SSERVICENAME", "typha_service_name"));
    }
    env
}

/// kube-controllers with its budget.
pub(super) fn controllers(calico: &Calico) -> Vec<Value> {
    let labels = json!({"k8s-app": "calico-kube-controllers"});
    let mut env = datastore(calico);
    env.push(variable("ENABLED_CONTROLLERS", "node"));
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
                    // etcd is asked on the hosts' network.
                    "hostNetwork": calico.shape == Shape::Etcd,
                    "priorityClassName": "system-cluster-critical",
                    "serviceAccountName": "calico-kube-controllers",
                    "tolerations": [
                        {"key": "CriticalAddonsOnly", "operator": "Exists"},
                        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                    ],
                    "containers": [{
                        "name": "calico-kube-controllers",
                        "image": calico.image("kube-controllers"),
                        "env": env,
                        "readinessProbe": {"exec": {"command": ["/usr/bin/check-status", "-r"]}},
                        "volumeMounts": etcd_mount(calico).into_iter().collect::<Vec<_>>(),
                    }],
                    "volumes": etcd_mount(calico)
                        .map(|_| json!({"name": "etcd-certs", "secret": {"secretName": "calico-etcd-secrets"}}))
                        .into_iter()
                        .collect::<Vec<_>>(),
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
