//! The kinds of Calico's records.

use serde_json::{Value, json};

const CLUSTER: [&str; 16] = [
    "BGPConfiguration",
    "BGPFilter",
    "BGPPeer",
    "BlockAffinity",
    "CalicoNodeStatus",
    "ClusterInformation",
    "FelixConfiguration",
    "GlobalNetworkPolicy",
    "GlobalNetworkSet",
    "HostEndpoint",
    "IPAMBlock",
    "IPAMHandle",
    "IPPool",
    "IPReservation",
    "KubeControllersConfiguration",
    "Tier",
];

const NAMESPACED: [&str; 2] = ["NetworkPolicy", "NetworkSet"];

/// The definitions in one group and version, such as `crd.projectcalico.org/v1`.
pub(super) fn objects(api: &str, tiers: bool) -> Vec<Value> {
    let (group, version) = api.split_once('/').unwrap_or((api, "v1"));
    // What one group calls a configuration is one in the other's name too.
    let ipam = if version == "v3" { "IPAMConfiguration" } else { "IPAMConfig" };
    let there = |kind: &&str| tiers || *kind != "Tier";
    let cluster = CLUSTER
        .into_iter()
        .filter(there)
        .chain([ipam])
        .map(|kind| definition(group, version, kind, "Cluster"));
    let namespaced = NAMESPACED.into_iter().map(|kind| definition(group, version, kind, "Namespaced"));
    cluster.chain(namespaced).collect()
}

/// A definition without a schema.
pub(super) fn definition(group: &str, version: &str, kind: &str, scope: &str) -> Value {
    let singular = kind.to_lowercase();
    let plural = plural(&singular);
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let mut version = json!({
        "name": version,
        "served": true,
        "storage": true,
        "schema": {"openAPIV3Schema": {
            "type": "object",
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"type": "object"},
                "spec": open,
                "status": open,
            },
        }},
    });
    if group == "operator.tigera.io" {
        version["subresources"] = json!({"status": {}});
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular},
            "scope": scope,
            "versions": [version],
        },
    })
}

fn plural(singular: &str) -> String {
    match singular.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if singular.ends_with('s') => format!("{singular}es"),
        None => format!("{singular}s"),
    }
}
