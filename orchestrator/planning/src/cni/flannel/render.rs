//! Flannel's objects, in the order of their creation.

use super::config::NetConf;
use super::{NAMESPACE, daemon_set};
use crate::object::{Kind, ObjectRef};
use crate::plan::action::NewObject;
use serde_json::{Value, json};

/// All of Flannel for one network.
pub fn objects(conf: &NetConf, image: Option<&str>) -> Vec<NewObject> {
    vec![namespace(), account(), role(), binding(), configuration(conf), agents(image)]
}

fn labels() -> Value {
    json!({"app": "flannel", "k8s-app": "flannel", "tier": "node"})
}

fn namespace() -> NewObject {
    NewObject {
        object: ObjectRef::new(Kind::cluster("", "v1", "Namespace", "namespaces"), "", NAMESPACE),
        body: json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                // Its agents use the host's network and paths, which lesser levels refuse.
                "labels": {"k8s-app": "flannel", "pod-security.kubernetes.io/enforce": "privileged"},
            },
        }),
    }
}

fn account() -> NewObject {
    NewObject {
        object: ObjectRef::new(
            Kind::namespaced("", "v1", "ServiceAccount", "serviceaccounts"),
            NAMESPACE,
            "flannel",
        ),
        body: json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "flannel", "namespace": NAMESPACE, "labels": labels()},
        }),
    }
}

/// What flanneld reads and writes: pods (its own), nodes, and its announcements in Node status.
fn role() -> NewObject {
    let rule =
        |resource: &str, verbs: &[&str]| json!({"apiGroups": [""], "resources": [resource], "verbs": verbs});
    NewObject {
        object: ObjectRef::new(
            Kind::cluster("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles"),
            "",
            "flannel",
        ),
        body: json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "flannel", "labels": labels()},
            "rules": [
                rule("pods", &["get"]),
                rule("nodes", &["get", "list", "watch"]),
                rule("nodes/status", &["patch"]),
            ],
        }),
    }
}

fn binding() -> NewObject {
    NewObject {
        object: ObjectRef::new(
            Kind::cluster("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings"),
            "",
            "flannel",
        ),
        body: json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "flannel", "labels": labels()},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "flannel"},
            "subjects": [{"kind": "ServiceAccount", "name": "flannel", "namespace": NAMESPACE}],
        }),
    }
}

fn configuration(conf: &NetConf) -> NewObject {
    NewObject {
        object: ObjectRef::new(
            Kind::namespaced("", "v1", "ConfigMap", "configmaps"),
            NAMESPACE,
            "kube-flannel-cfg",
        ),
        body: json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "kube-flannel-cfg", "namespace": NAMESPACE, "labels": labels()},
            "data": {
                "cni-conf.json": pretty(&NetConf::cni_json()),
                "net-conf.json": pretty(&conf.json()),
            },
        }),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn agents(image: Option<&str>) -> NewObject {
    NewObject {
        object: ObjectRef::new(
            Kind::namespaced("apps", "v1", "DaemonSet", "daemonsets"),
            NAMESPACE,
            "kube-flannel-ds",
        ),
        body: daemon_set::body(image, &labels()),
    }
}
