//! What a real API server makes at its first start.

use super::core::Server;
use super::object::child;
use super::options::DeleteOptions;
use crate::schema::builtin::{
    CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, NAMESPACES, PRIORITY_CLASSES, SERVICE_ACCOUNTS, SERVICES,
};
use serde_json::{Value, json};

/// Who makes it.
const CLIENT: &str = "kube-apiserver";

/// Makes namespaces, priority classes, cluster roles and the `kubernetes` Service.
pub(crate) fn bootstrap(server: &Server) {
    let direct = server.direct(CLIENT);
    let make = |resource: &crate::schema::Resource, mut object: Value| {
        let map = child(&mut object, "metadata");
        if resource.group == "rbac.authorization.k8s.io" {
            map.insert("labels".into(), json!({"kubernetes.io/bootstrapping": "rbac-defaults"}));
        }
        if let Err(status) = direct.create(resource, object) {
            tracing::error!(%status, "a built-in object was refused");
        }
    };
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        make(&NAMESPACES, json!({"metadata": {"name": name}}));
        make(&SERVICE_ACCOUNTS, json!({"metadata": {"name": "default", "namespace": name}}));
    }
    for (name, value) in [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)]
    {
        make(&PRIORITY_CLASSES, json!({"metadata": {"name": name}, "value": value}));
    }
    let all = json!([
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]);
    let read = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]);
    for (name, rules) in [
        ("cluster-admin", all.clone()),
        ("admin", all),
        ("view", read.clone()),
        ("edit", read),
        (
            "system:auth-delegator",
            json!([
                {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
                {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
            ]),
        ),
    ] {
        make(&CLUSTER_ROLES, json!({"metadata": {"name": name}, "rules": rules}));
    }
    make(
        &CLUSTER_ROLE_BINDINGS,
        json!({
            "metadata": {"name": "cluster-admin"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:masters"}],
        }),
    );
    kubernetes_service(server);
}

/// Makes `default/kubernetes` at the first address of the service range.
pub(crate) fn kubernetes_service(server: &Server) {
    let direct = server.direct(CLIENT);
    let first = server.state().services.first();
    // The first time there is nothing to delete.
    let _ = direct.delete(&SERVICES, "default", "kubernetes", DeleteOptions::default());
    let made = direct.create(
        &SERVICES,
        json!({
            "metadata": {"name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"clusterIP": first, "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]},
        }),
    );
    if let Err(status) = made {
        tracing::error!(%status, "the kubernetes Service was refused");
    }
}
