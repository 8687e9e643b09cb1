//! The Tigera operator and what it is told: an Installation, an API server, Goldmane and Whisker.

use super::{Calico, access, definitions};
use serde_json::{Value, json};

const NAMESPACE: &str = "tigera-operator";
const RBAC: &str = "rbac.authorization.k8s.io";
/// The release of the operator that installs [`super::VERSION`].
const IMAGE: &str = "quay.io/tigera/operator:v1.38.6";
const API: &str = "operator.tigera.io/v1";

pub(super) fn objects(calico: &Calico) -> Vec<Value> {
    let mut objects = definitions::objects(calico.shape.records(), calico.has_tiers());
    for kind in ["Installation", "APIServer", "Goldmane", "Whisker", "ImageSet", "TigeraStatus"] {
        objects.push(definitions::definition("operator.tigera.io", "v1", kind, "Cluster"));
    }
    objects.extend([
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "tigera-operator", "namespace": NAMESPACE},
        }),
        access::role(
            "tigera-operator",
            // Whoever makes roles for others must hold what is in them.
            &json!([access::rule("*", &["*"], &["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}]),
        ),
        access::role(
            "tigera-operator-secrets",
            &json!([access::rule("", &["secrets"], &["create", "update", "delete", "get", "list", "watch"])]),
        ),
        json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": "tigera-operator"},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "tigera-operator"},
            "subjects": [{"kind": "ServiceAccount", "name": "tigera-operator", "namespace": NAMESPACE}],
        }),
        json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding",
            "metadata": {"name": "tigera-operator-secrets", "namespace": NAMESPACE},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "tigera-operator-secrets"},
            "subjects": [{"kind": "ServiceAccount", "name": "tigera-operator", "namespace": NAMESPACE}],
        }),
        operator(),
        resource(
            "Installation",
            &json!({"calicoNetwork": {"ipPools": [{
                "name": "default-ipv4-ippool", "cidr": crate::scenario::spec::POD_SUBNET, "blockSize": 26,
                "encapsulation": "VXLANCrossSubnet", "natOutgoing": "Enabled", "nodeSelector": "all()",
            }]}}),
        ),
        resource("APIServer", &json!({})),
        resource("Goldmane", &json!({})),
        resource("Whisker", &json!({})),
    ]);
    objects
}

fn resource(kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": API, "kind": kind, "metadata": {"name": "default"}, "spec": spec})
}

fn operator() -> Value {
    let labels = json!({"k8s-app": "tigera-operator"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "tigera-operator", "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "hostNetwork": true,
                    "serviceAccountName": "tigera-operator",
                    "tolerations": [
                        {"effect": "NoExecute", "operator": "Exists"},
                        {"effect": "NoSchedule", "operator": "Exists"},
                    ],
                    "containers": [{
                        "name": "tigera-operator", "image": IMAGE, "command": ["operator"],
                        "envFrom": [{"configMapRef": {"name": "kubernetes-services-endpoint", "optional": true}}],
                    }],
                },
            },
        },
    })
}
