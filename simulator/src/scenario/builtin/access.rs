//! Accounts, roles and bindings.

use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";
const GROUP: &str = "crd.projectcalico.org";
const ALL: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

pub(super) fn objects() -> Vec<Value> {
    let mut objects = Vec::new();
    for (name, rules) in
        [("calico-node", node()), ("calico-cni-plugin", plugin()), ("calico-kube-controllers", controllers())]
    {
        objects.push(json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"},
        }));
        objects.push(json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
        }));
        objects.push(json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}],
        }));
    }
    objects
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

fn node() -> Value {
    json!([
        {
            "apiGroups": [""], "resources": ["serviceaccounts/token"],
            "resourceNames": ["calico-cni-plugin"], "verbs": ["create"],
        },
        rule("", &["nodes", "namespaces", "pods", "services", "endpoints", "configmaps", "serviceaccounts"], &["get", "list", "watch", "update"]),
        rule("", &["nodes/status", "pods/status"], &["patch", "update"]),
        rule("discovery.k8s.io", &["endpointslices"], &["list", "watch"]),
        rule("networking.k8s.io", &["networkpolicies"], &["list", "watch"]),
        rule("policy.networking.k8s.io", &["adminnetworkpolicies", "baselineadminnetworkpolicies"], &["list", "watch"]),
        rule(GROUP, &["*"], &ALL),
    ])
}

fn plugin() -> Value {
    json!([
        rule("", &["nodes", "namespaces", "pods"], &["get"]),
        rule("", &["pods/status"], &["patch"]),
        rule(
            GROUP,
            &[
                "blockaffinities",
                "ipamblocks",
                "ipamhandles",
                "clusterinformations",
                "ippools",
                "ipreservations",
                "ipamconfigs"
            ],
            &ALL
        ),
    ])
}

fn controllers() -> Value {
    json!([
        rule("", &["nodes", "pods", "namespaces", "serviceaccounts", "services"], &["get", "list", "watch"]),
        rule("networking.k8s.io", &["networkpolicies"], &["list", "watch"]),
        rule(GROUP, &["*"], &ALL),
    ])
}
