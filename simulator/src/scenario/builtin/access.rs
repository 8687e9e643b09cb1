//! Accounts, roles and bindings.

use super::{Calico, Shape};
use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";
const ALL: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

/// Of every manifest.
pub(super) fn objects(calico: &Calico) -> Vec<Value> {
    let mut objects = Vec::new();
    let mut roles = vec![("calico-node", node(calico)), ("calico-kube-controllers", controllers(calico))];
    if calico.own_plugin_account() {
        roles.push(("calico-cni-plugin", plugin(calico)));
    }
    for (name, rules) in roles {
        objects.push(account(name));
        objects.push(role(name, &rules));
        objects.push(binding(name, name, name));
    }
    if calico.shows_tiers() {
        objects.extend(tier_getter());
    }
    objects
}

/// An account of `kube-system`.
pub(super) fn account(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"},
    })
}

/// A role for the whole cluster.
pub(super) fn role(name: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules,
    })
}

/// A role given to an account of `kube-system`.
pub(super) fn binding(name: &str, role: &str, account: &str) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}],
    })
}

/// The controller-manager may read tiers, so that it can clean policies up.
pub(super) fn tier_getter() -> [Value; 2] {
    let name = "calico-tier-getter";
    let mut binding = binding(name, name, name);
    binding["subjects"] =
        json!([{"apiGroup": RBAC, "kind": "User", "name": "system:kube-controller-manager"}]);
    [role(name, &json!([rule("projectcalico.org", &["tiers"], &["get"])])), binding]
}

fn group(calico: &Calico) -> &'static str {
    calico.shape.records().split('/').next().unwrap_or_default()
}

/// One rule.
pub(super) fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// What the agent may.
pub(super) fn node(calico: &Calico) -> Value {
    let minted = match calico.shape {
        Shape::Canal => json!(["canal", "calico-cni-plugin"]),
        _ if !calico.own_plugin_account() => json!(["calico-node"]),
        _ => json!(["calico-cni-plugin"]),
    };
    json!([
        {
            "apiGroups": [""], "resources": ["serviceaccounts/token"],
            "resourceNames": minted, "verbs": ["create"],
        },
        rule("", &["nodes", "namespaces", "pods", "services", "endpoints", "configmaps", "serviceaccounts"], &["get", "list", "watch", "update"]),
        rule("", &["nodes/status", "pods/status"], &["patch", "update"]),
        rule("discovery.k8s.io", &["endpointslices"], &["list", "watch"]),
        rule("networking.k8s.io", &["networkpolicies"], &["list", "watch"]),
        rule("policy.networking.k8s.io", &["adminnetworkpolicies", "baselineadminnetworkpolicies"], &["list", "watch"]),
        rule(group(calico), &["*"], &ALL),
    ])
}

/// What the CNI plugin may.
pub(super) fn plugin(calico: &Calico) -> Value {
    json!([
        rule("", &["nodes", "namespaces", "pods"], &["get"]),
        rule("", &["pods/status"], &["patch"]),
        rule(
            group(calico),
            &[
                "blockaffinities",
                "ipamblocks",
                "ipamhandles",
                "clusterinformations",
                "ippools",
                "ipreservations",
                "ipamconfigs",
                "ipamconfigurations",
            ],
            &ALL
        ),
    ])
}

/// What kube-controllers may.
pub(super) fn controllers(calico: &Calico) -> Value {
    json!([
        rule("", &["nodes", "pods", "namespaces", "serviceaccounts", "services"], &["get", "list", "watch"]),
        rule("networking.k8s.io", &["networkpolicies"], &["list", "watch"]),
        rule(group(calico), &["*"], &ALL),
    ])
}
