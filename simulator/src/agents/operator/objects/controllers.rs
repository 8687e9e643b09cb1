//! calico-kube-controllers.

use serde_json::{Value, json};

use super::{Surroundings, control_plane_selector, control_planes, probe, workload};
use crate::agents::operator::{SYSTEM, overrides};

pub(super) fn objects(surroundings: &Surroundings<'_>) -> Vec<Value> {
    let installation = surroundings.installation;
    let pod = json!({
        "serviceAccountName": "calico-kube-controllers",
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": control_plane_selector(installation),
        "tolerations": control_planes(installation),
        "containers": [{
            "name": "calico-kube-controllers",
            "image": surroundings.images.image("kube-controllers"),
            "env": [
                {"name": "KUBE_CONTROLLERS_CONFIG_NAME", "value": "default"},
                {"name": "DATASTORE_TYPE", "value": "kubernetes"},
                {"name": "ENABLED_CONTROLLERS", "value": "node,loadbalancer"},
            ],
            "readinessProbe": probe(&["/usr/bin/check-status", "-r"]),
            "volumeMounts": [{"name": "tigera-ca-bundle", "mountPath": "/etc/pki/tls/certs", "readOnly": true}],
        }],
        "volumes": [{"name": "tigera-ca-bundle", "configMap": {"name": "tigera-ca-bundle"}}],
    });
    let mut deployment = workload("Deployment", SYSTEM, "calico-kube-controllers", pod);
    deployment["spec"]["replicas"] = json!(1);
    deployment["spec"]["strategy"] = json!({"type": "Recreate"});
    overrides::apply(&mut deployment, &installation["spec"]["calicoKubeControllersDeployment"]);
    let metrics = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "calico-kube-controllers-metrics", "namespace": SYSTEM},
        "spec": {
            "clusterIP": "None",
            "selector": {"k8s-app": "calico-kube-controllers"},
            "ports": [{"name": "metrics-port", "port": 9094, "protocol": "TCP", "targetPort": 9094}],
        },
    });
    vec![deployment, metrics]
}
