//! Typha: a Deployment on the hosts' network that the agents find by its Service.

use super::Calico;
use serde_json::{Value, json};

pub(super) fn objects(calico: &Calico) -> [Value; 3] {
    let labels = json!({"k8s-app": "calico-typha"});
    let metadata = json!({"name": "calico-typha", "namespace": "kube-system", "labels": labels});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "hostNetwork": true,
                    "priorityClassName": "system-cluster-critical",
                    "serviceAccountName": "calico-node",
                    "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
                    "containers": [{
                        "name": "calico-typha",
                        "image": calico.image("typha"),
                        "env": [
                            {"name": "TYPHA_DATASTORETYPE", "value": "kubernetes"},
                            {"name": "TYPHA_HEALTHENABLED", "value": "true"},
                        ],
                        "ports": [{"name": "calico-typha", "containerPort": 5473, "protocol": "TCP"}],
                        "readinessProbe": {"httpGet": {"host": "localhost", "path": "/readiness", "port": 9098}},
                    }],
                },
            },
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {
            "selector": labels,
            "ports": [{"name": "calico-typha", "port": 5473, "protocol": "TCP", "targetPort": "calico-typha"}],
        },
    });
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata,
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
    });
    [deployment, service, budget]
}
