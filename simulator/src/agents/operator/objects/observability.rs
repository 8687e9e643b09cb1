//! Goldmane, which collects flows, and Whisker, which shows them.

use serde_json::{Value, json};

use super::{Surroundings, account, control_plane_selector, control_planes, workload};
use crate::agents::operator::{SYSTEM, overrides};

fn service(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {"selector": {"k8s-app": name}, "ports": [{"port": port, "protocol": "TCP", "targetPort": port}]},
    })
}

/// Lets others in at one port.
fn policy(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": SYSTEM},
        "spec": {
            "podSelector": {"matchLabels": {"k8s-app": name}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": port, "protocol": "TCP"}]}],
        },
    })
}

fn deployment(surroundings: &Surroundings<'_>, name: &str, containers: Value, secret: &str) -> Value {
    let pod = json!({
        "serviceAccountName": name,
        "nodeSelector": control_plane_selector(surroundings.installation),
        "tolerations": control_planes(surroundings.installation),
        "containers": containers,
        "volumes": [{"name": secret, "secret": {"secretName": secret}}],
    });
    let mut deployment = workload("Deployment", SYSTEM, name, pod);
    deployment["spec"]["replicas"] = json!(1);
    deployment["spec"]["strategy"] = json!({"type": "Recreate"});
    deployment
}

pub(super) fn goldmane(surroundings: &Surroundings<'_>, resource: &Value) -> Vec<Value> {
    let secret = "goldmane-key-pair";
    let containers = json!([{
        "name": "goldmane", "image": surroundings.images.image("goldmane"),
        "readinessProbe": {"exec": {"command": ["/health", "-ready"]}},
        "volumeMounts": [{"name": secret, "mountPath": "/goldmane-key-pair", "readOnly": true}],
    }]);
    let mut deployment = deployment(surroundings, "goldmane", containers, secret);
    overrides::apply(&mut deployment, &resource["spec"]["goldmaneDeployment"]);
    vec![account(SYSTEM, "goldmane"), service("goldmane", 7443), policy("goldmane", 7443), deployment]
}

pub(super) fn whisker(surroundings: &Surroundings<'_>, resource: &Value) -> Vec<Value> {
    let secret = "whisker-backend-key-pair";
    let containers = json!([
        {"name": "whisker", "image": surroundings.images.image("whisker")},
        {
            "name": "whisker-backend", "image": surroundings.images.image("whisker-backend"),
            "volumeMounts": [{"name": secret, "mountPath": "/whisker-backend-key-pair", "readOnly": true}],
        },
    ]);
    let mut deployment = deployment(surroundings, "whisker", containers, secret);
    overrides::apply(&mut deployment, &resource["spec"]["whiskerDeployment"]);
    vec![account(SYSTEM, "whisker"), service("whisker", 8081), policy("whisker", 8081), deployment]
}
