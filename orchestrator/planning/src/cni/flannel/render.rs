//! Flannel's objects, in the order of their creation.

use super::config::NetConf;
use super::{NAMESPACE, daemon_set};
use crate::object::{Kind, ObjectRef};
use crate::plan::action::NewObject;
use crate::state::Inventory;
use serde_json::{Value, json};

/// The name of Flannel's role and binding, which upstream's manifest uses too.
pub const ROLE: &str = "flannel";

/// All of Flannel for one network. `role` names its role and binding.
pub fn objects(conf: &NetConf, image: Option<&str>, role_name: &str) -> Vec<NewObject> {
    vec![namespace(), account(), role(role_name), binding(role_name), configuration(conf), agents(image)]
}

/// A name for Flannel's role and binding that nobody's has: Canal brings a role `flannel`, which goes
/// with Canal.
pub fn free_role(inventory: &Inventory) -> String {
    let taken = |name: &str| {
        ["ClusterRole", "ClusterRoleBinding"]
            .iter()
            .any(|kind| inventory.get("rbac.authorization.k8s.io", kind, "", name).is_some())
    };
    let further = (2_u32..).map(|number| format!("kube-flannel-{number}"));
    let mut names = [ROLE.to_owned(), "kube-flannel".to_owned()].into_iter().chain(further);
    names.find(|name| !taken(name)).unwrap_or_else(|| ROLE.to_owned())
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
            "metadata": {"name": "flannel", "namespace": NAMESPACE, "labels": {"k8s-app": "flannel"}},
        }),
    }
}

/// What flanneld reads and writes: pods (its own), nodes, and its announcements in Node status.
fn role(name: &str) -> NewObject {
    let rule =
        |resource: &str, verbs: &[&str]| json!({"apiGroups": [""], "resources": [resource], "verbs": verbs});
    NewObject {
        object: ObjectRef::new(
            Kind::cluster("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles"),
            "",
            name,
        ),
        body: json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {"k8s-app": "flannel"}},
            "rules": [
                rule("pods", &["get"]),
                rule("nodes", &["get", "list", "watch"]),
                rule("nodes/status", &["patch"]),
            ],
        }),
    }
}

fn binding(name: &str) -> NewObject {
    NewObject {
        object: ObjectRef::new(
            Kind::cluster("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings"),
            "",
            name,
        ),
        body: json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name, "labels": {"k8s-app": "flannel"}},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
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
