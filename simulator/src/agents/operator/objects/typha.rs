//! Typha, between the API server and the agents.

use serde_json::{Value, json};

use super::{Surroundings, everywhere, workload};
use crate::agents::operator::{SYSTEM, overrides};

/// How many for how many nodes: three as soon as they fit, and one more for every 200 nodes.
fn replicas(nodes: usize) -> usize {
    match nodes {
        0..=2 => 1,
        3..=4 => 2,
        _ => (nodes / 200 + 2).clamp(3, 20),
    }
}

pub(super) fn objects(surroundings: &Surroundings<'_>) -> Vec<Value> {
    let spec = &surroundings.installation["spec"];
    let pod = json!({
        "hostNetwork": true,
        "serviceAccountName": "calico-typha",
        "priorityClassName": "system-cluster-critical",
        "terminationGracePeriodSeconds": 300,
        "tolerations": everywhere(),
        "containers": [{
            "name": "calico-typha",
            "image": surroundings.images.image("typha"),
            "env": [{"name": "TYPHA_DATASTORETYPE", "value": "kubernetes"}, {"name": "TYPHA_HEALTHENABLED", "value": "true"}],
            "ports": [{"name": "calico-typha", "containerPort": 5473, "hostPort": 5473, "protocol": "TCP"}],
            "readinessProbe": {"httpGet": {"host": "localhost", "path": "/readiness", "port": 9098}},
            "volumeMounts": [
                {"name": "tigera-ca-bundle", "mountPath": "/etc/pki/tls/certs", "readOnly": true},
                {"name": "typha-certs", "mountPath": "/typha-certs", "readOnly": true},
            ],
        }],
        "volumes": [
            {"name": "tigera-ca-bundle", "configMap": {"name": "tigera-ca-bundle"}},
            {"name": "typha-certs", "secret": {"secretName": "typha-certs"}},
        ],
    });
    let mut deployment = workload("Deployment", SYSTEM, "calico-typha", pod);
    deployment["spec"]["replicas"] = json!(replicas(surroundings.nodes));
    deployment["spec"]["strategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": "100%"}});
    overrides::apply(&mut deployment, &spec["typhaDeployment"]);
    let selector = json!({"k8s-app": "calico-typha"});
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "calico-typha", "namespace": SYSTEM},
        "spec": {
            "selector": selector,
            "ports": [{"name": "calico-typha", "port": 5473, "protocol": "TCP", "targetPort": "calico-typha"}],
        },
    });
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "calico-typha", "namespace": SYSTEM},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
    });
    vec![service, budget, deployment]
}

#[cfg(test)]
mod tests {
    use super::replicas;

    #[test]
    fn more_nodes_get_more_typhas() {
        let of: Vec<usize> = [1, 3, 5, 1000, 9000].into_iter().map(replicas).collect();
        assert_eq!(of, [1, 2, 3, 7, 20]);
    }
}
