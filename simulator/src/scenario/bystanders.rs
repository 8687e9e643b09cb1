//! Objects that only look like Calico's, or that a careless removal would take along.

use serde_json::{Value, json};

/// The finalizer that nobody of this cluster clears.
pub const FOREIGN_FINALIZER: &str = "bystander.example/guard";

/// All of them.
pub fn objects() -> Vec<Value> {
    let mut objects = vec![
        account(),
        dashboard(),
        config("shop", "calico-theme", json!({"colour": "calico cat"})),
        config("kube-system", "my-calico-notes", json!({"note": "ask before changing pools"})),
        role(),
        role_binding(),
        policy_kind(),
        guarded(),
    ];
    objects.push(admin_policy());
    objects
}

fn account() -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "calico-node", "namespace": "shop"}})
}

/// A Deployment that is named like Calico and runs something else.
fn dashboard() -> Value {
    let labels = json!({"app": "calico-dashboard"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "calico-dashboard", "namespace": "shop", "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": "calico-node",
                    "containers": [{"name": "dashboard", "image": "registry.example/tools/calico-dashboard:3"}],
                },
            },
        },
    })
}

fn config(namespace: &str, name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data,
    })
}

/// People who may read Calico's pools: their role is theirs.
fn role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "network-readers"},
        "rules": [{"apiGroups": ["crd.projectcalico.org"], "resources": ["ippools"], "verbs": ["get", "list"]}],
    })
}

fn role_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "network-readers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "network-readers"},
        "subjects": [{"kind": "Group", "name": "network-team", "apiGroup": "rbac.authorization.k8s.io"}],
    })
}

/// Upstream's own kind, which Calico's manifests bring along and others use too.
fn policy_kind() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "adminnetworkpolicies.policy.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a simulated cluster"},
        },
        "spec": {
            "group": "policy.networking.k8s.io",
            "names": {
                "kind": "AdminNetworkPolicy", "listKind": "AdminNetworkPolicyList",
                "plural": "adminnetworkpolicies", "singular": "adminnetworkpolicy", "shortNames": ["anp"],
            },
            "scope": "Cluster",
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }},
            }],
        },
    })
}

fn admin_policy() -> Value {
    json!({
        "apiVersion": "policy.networking.k8s.io/v1alpha1", "kind": "AdminNetworkPolicy",
        "metadata": {"name": "keep-monitoring"},
        "spec": {
            "priority": 10, "subject": {"namespaces": {}},
            "ingress": [{"action": "Allow", "from": [{"namespaces": {"matchLabels": {"team": "shop"}}}]}],
        },
    })
}

/// Something with a finalizer that is nobody's business.
fn guarded() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "calico-migration-plan", "namespace": "shop", "finalizers": [FOREIGN_FINALIZER]},
        "data": {"plan": "none yet"},
    })
}
