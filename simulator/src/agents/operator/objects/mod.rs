//! The objects that the operator makes, each with the values that matter to a cluster.

mod access;
mod api_server;
mod controllers;
mod csi;
mod foundation;
mod node;
mod observability;
mod typha;

use serde_json::{Value, json};

use super::images::Images;
pub(super) use access::PROTECTOR;

/// What the objects depend on.
pub(super) struct Surroundings<'a> {
    pub(super) installation: &'a Value,
    pub(super) images: &'a Images,
    /// How many nodes the cluster has.
    pub(super) nodes: usize,
}

/// Calico itself: namespace, rights, configuration, agents.
pub(super) fn calico(surroundings: &Surroundings<'_>) -> Vec<Value> {
    let mut objects = foundation::objects(surroundings);
    objects.extend(access::objects());
    objects.extend(typha::objects(surroundings));
    objects.extend(node::objects(surroundings));
    objects.extend(csi::objects(surroundings));
    objects.extend(controllers::objects(surroundings));
    objects
}

/// The certificates of Calico itself, which are made once.
pub(super) fn secrets() -> Vec<Value> {
    foundation::secrets()
}

/// An optional part of Calico, made for a custom resource of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    ApiServer,
    Goldmane,
    Whisker,
}

impl Part {
    /// All parts.
    pub(super) const ALL: [Part; 3] = [Part::Whisker, Part::Goldmane, Part::ApiServer];

    /// The plural of its custom resource.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Part::ApiServer => "apiservers",
            Part::Goldmane => "goldmanes",
            Part::Whisker => "whiskers",
        }
    }

    /// The name of its TigeraStatus.
    pub(super) fn status(self) -> &'static str {
        match self {
            Part::ApiServer => "apiserver",
            Part::Goldmane => "goldmane",
            Part::Whisker => "whisker",
        }
    }

    /// What keeps the Installation while the part runs.
    pub(super) fn finalizer(self) -> &'static str {
        match self {
            Part::ApiServer => "operator.tigera.io/apiserver-controller",
            Part::Goldmane => "operator.tigera.io/goldmane-controller",
            Part::Whisker => "operator.tigera.io/whisker-controller",
        }
    }

    /// Namespace and name of its Deployment.
    pub(super) fn deployment(self) -> (&'static str, &'static str) {
        match self {
            Part::ApiServer => (super::API_SERVER, "calico-apiserver"),
            Part::Goldmane => (super::SYSTEM, "goldmane"),
            Part::Whisker => (super::SYSTEM, "whisker"),
        }
    }

    /// Its objects.
    pub(super) fn objects(self, surroundings: &Surroundings<'_>, resource: &Value) -> Vec<Value> {
        match self {
            Part::ApiServer => api_server::objects(surroundings, resource),
            Part::Goldmane => observability::goldmane(surroundings, resource),
            Part::Whisker => observability::whisker(surroundings, resource),
        }
    }

    /// Its certificates.
    pub(super) fn secrets(self) -> Vec<Value> {
        match self {
            Part::ApiServer => api_server::secrets(),
            Part::Goldmane => vec![foundation::certificate(super::SYSTEM, "goldmane-key-pair")],
            Part::Whisker => vec![foundation::certificate(super::SYSTEM, "whisker-backend-key-pair")],
        }
    }
}

fn account(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
}

const RBAC: &str = "rbac.authorization.k8s.io";

fn role(name: &str, rules: Value) -> Value {
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}

/// A binding of a cluster role to an account.
fn binding(name: &str, role: &str, namespace: &str, account: &str) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    })
}

/// A workload of the operator's, labelled as all of them are. The pod's specification gets what
/// they have in common.
fn workload(kind: &str, namespace: &str, name: &str, mut pod: Value) -> Value {
    let labels = json!({"app.kubernetes.io/name": name, "k8s-app": name});
    let selector = json!({"k8s-app": name});
    if pod["nodeSelector"].is_null() {
        pod["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
    }
    let mut workload = json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    });
    if kind == "DaemonSet" {
        workload["spec"]["updateStrategy"] =
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}});
    }
    workload
}

/// Tolerates whatever a node may be tainted with.
fn everywhere() -> Value {
    json!([
        {"key": "CriticalAddonsOnly", "operator": "Exists"},
        {"effect": "NoSchedule", "operator": "Exists"},
        {"effect": "NoExecute", "operator": "Exists"},
    ])
}

/// Tolerates control planes, and what the Installation adds.
fn control_planes(installation: &Value) -> Value {
    let mut tolerations = vec![
        json!({"key": "CriticalAddonsOnly", "operator": "Exists"}),
        json!({"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}),
        json!({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}),
    ];
    tolerations
        .extend(installation["spec"]["controlPlaneTolerations"].as_array().cloned().unwrap_or_default());
    Value::Array(tolerations)
}

/// Linux, and what the Installation adds for the parts that are not on every node.
fn control_plane_selector(installation: &Value) -> Value {
    let mut selector =
        installation["spec"]["controlPlaneNodeSelector"].as_object().cloned().unwrap_or_default();
    selector.insert("kubernetes.io/os".to_owned(), json!("linux"));
    Value::Object(selector)
}

/// How many of each part that is not on every node.
fn replicas(surroundings: &Surroundings<'_>) -> u64 {
    let wanted = surroundings.installation["spec"]["controlPlaneReplicas"].as_u64().unwrap_or(2);
    wanted.min(surroundings.nodes.max(1) as u64)
}

/// A readiness probe that an agent answers by itself.
fn probe(command: &[&str]) -> Value {
    json!({"exec": {"command": command}, "periodSeconds": 10, "timeoutSeconds": 10})
}
