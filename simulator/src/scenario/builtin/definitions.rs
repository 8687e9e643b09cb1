//! The kinds of `crd.projectcalico.org/v1`.

use serde_json::{Value, json};

const CLUSTER: [&str; 15] = [
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
    "IPAMConfig",
    "IPAMHandle",
    "IPPool",
    "KubeControllersConfiguration",
];

const NAMESPACED: [&str; 2] = ["NetworkPolicy", "NetworkSet"];

const ALSO: [&str; 2] = ["IPReservation", "Tier"];

pub(super) fn objects() -> Vec<Value> {
    let cluster = CLUSTER.into_iter().chain(ALSO).map(|kind| definition(kind, "Cluster"));
    let namespaced = NAMESPACED.into_iter().map(|kind| definition(kind, "Namespaced"));
    cluster.chain(namespaced).collect()
}

fn definition(kind: &str, scope: &str) -> Value {
    let singular = kind.to_lowercase();
    let plural = match singular.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if singular.ends_with('s') => format!("{singular}es"),
        None => format!("{singular}s"),
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.crd.projectcalico.org")},
        "spec": {
            "group": "crd.projectcalico.org",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular},
            "scope": scope,
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "apiVersion": {"type": "string"},
                        "kind": {"type": "string"},
                        "metadata": {"type": "object"},
                        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    },
                }},
            }],
        },
    })
}
