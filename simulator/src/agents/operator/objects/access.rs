//! Accounts and rights of the agents.

use serde_json::{Value, json};

use super::{account, binding, role};
use crate::agents::operator::SYSTEM;

/// Keeps the rights of the CNI plugin while pods may still need them.
pub(in crate::agents::operator) const PROTECTOR: &str = "tigera.io/cni-protector";

const OWN: &str = "crd.projectcalico.org";

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

const READ: [&str; 3] = ["get", "list", "watch"];
const KEEP: [&str; 6] = ["get", "list", "watch", "create", "update", "delete"];

fn node_rules() -> Value {
    json!([
        rule("", &["endpoints", "services", "pods", "namespaces", "nodes", "serviceaccounts"], &READ),
        rule("", &["configmaps"], &["get"]),
        rule("discovery.k8s.io", &["endpointslices"], &["list", "watch"]),
        rule("networking.k8s.io", &["networkpolicies"], &["list", "watch"]),
        rule("policy.networking.k8s.io", &["adminnetworkpolicies", "baselineadminnetworkpolicies"], &["list", "watch"]),
        {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["calico-cni-plugin"], "verbs": ["create"]},
        rule("", &["nodes/status"], &["patch", "update"]),
        rule("", &["pods/status"], &["patch"]),
        rule(OWN, &[
            "bgpconfigurations", "bgpfilters", "bgppeers", "blockaffinities", "caliconodestatuses",
            "clusterinformations", "felixconfigurations", "globalnetworkpolicies", "globalnetworksets", "hostendpoints",
            "ipamblocks", "ippools", "ipreservations", "networkpolicies", "networksets", "stagedglobalnetworkpolicies",
            "stagedkubernetesnetworkpolicies", "stagednetworkpolicies", "tiers",
        ], &READ),
        rule(OWN, &["ippools", "felixconfigurations", "clusterinformations", "tiers"], &["create", "update"]),
        rule(OWN, &["caliconodestatuses"], &["update"]),
        rule(OWN, &["bgpconfigurations", "bgppeers"], &["create", "update"]),
        rule(OWN, &["blockaffinities", "ipamblocks", "ipamhandles"], &["get", "list", "create", "update", "delete"]),
        rule(OWN, &["ipamconfigs"], &["get", "create"]),
    ])
}

fn plugin_rules() -> Value {
    json!([
        rule("", &["pods", "nodes", "namespaces"], &["get"]),
        rule("", &["pods/status"], &["patch"]),
        rule(
            OWN,
            &[
                "blockaffinities",
                "ipamblocks",
                "ipamhandles",
                "ipamconfigs",
                "clusterinformations",
                "ippools",
                "ipreservations",
            ],
            &["get", "list", "create", "update", "delete"]
        ),
    ])
}

fn controllers_rules() -> Value {
    json!([
        rule("", &["nodes", "pods", "endpoints"], &READ),
        rule("", &["services", "services/status"], &["get", "list", "update", "watch"]),
        rule(OWN, &["ippools", "ipreservations"], &READ),
        rule(OWN, &["blockaffinities", "ipamblocks", "ipamhandles", "ipamconfigs", "tiers"], &KEEP),
        rule(OWN, &["hostendpoints"], &KEEP),
        rule(
            OWN,
            &["clusterinformations", "kubecontrollersconfigurations"],
            &["get", "list", "create", "update", "watch"]
        ),
    ])
}

fn typha_rules() -> Value {
    json!([
        rule("", &["endpoints", "services", "pods", "namespaces", "nodes", "serviceaccounts", "configmaps"], &READ),
        rule("discovery.k8s.io", &["endpointslices"], &["list", "watch"]),
        rule("networking.k8s.io", &["networkpolicies"], &["list", "watch"]),
        {"apiGroups": [OWN], "resources": ["*"], "verbs": READ},
    ])
}

/// Accounts, roles and bindings; those that pods' ends depend on are protected.
pub(super) fn objects() -> Vec<Value> {
    let mut objects = Vec::new();
    for (name, rules, protected) in [
        ("calico-node", node_rules(), true),
        ("calico-cni-plugin", plugin_rules(), true),
        ("calico-kube-controllers", controllers_rules(), false),
        ("calico-typha", typha_rules(), false),
    ] {
        for mut object in [account(SYSTEM, name), role(name, rules), binding(name, name, SYSTEM, name)] {
            if protected {
                object["metadata"]["finalizers"] = json!([PROTECTOR]);
            }
            objects.push(object);
        }
    }
    objects
}
