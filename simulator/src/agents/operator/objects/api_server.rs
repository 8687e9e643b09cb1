//! Calico's API server.

use serde_json::{Value, json};

use super::{
    Surroundings, account, binding, control_plane_selector, control_planes, foundation, replicas, role,
    workload,
};
use crate::agents::operator::{API_SERVER, overrides};

const CERTIFICATES: &str = "calico-apiserver-certs";

pub(super) fn secrets() -> Vec<Value> {
    vec![
        foundation::certificate("tigera-operator", CERTIFICATES),
        foundation::certificate(API_SERVER, CERTIFICATES),
    ]
}

pub(super) fn objects(surroundings: &Surroundings<'_>, resource: &Value) -> Vec<Value> {
    let installation = surroundings.installation;
    let pod = json!({
        "serviceAccountName": "calico-apiserver",
        "nodeSelector": control_plane_selector(installation),
        "tolerations": control_planes(installation),
        "containers": [{
            "name": "calico-apiserver",
            "image": surroundings.images.image("apiserver"),
            "args": [
                "--secure-port=5443",
                "--tls-private-key-file=/calico-apiserver-certs/tls.key",
                "--tls-cert-file=/calico-apiserver-certs/tls.crt",
            ],
            "env": [{"name": "DATASTORE_TYPE", "value": "kubernetes"}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 5443, "scheme": "HTTPS"}, "periodSeconds": 60, "timeoutSeconds": 5},
            "volumeMounts": [{"name": CERTIFICATES, "mountPath": "/calico-apiserver-certs", "readOnly": true}],
        }],
        "volumes": [{"name": CERTIFICATES, "secret": {"secretName": CERTIFICATES}}],
    });
    let mut deployment = workload("Deployment", API_SERVER, "calico-apiserver", pod);
    for labels in ["/metadata/labels", "/spec/template/metadata/labels", "/spec/selector/matchLabels"] {
        if let Some(labels) = deployment.pointer_mut(labels) {
            labels["apiserver"] = json!("true");
        }
    }
    deployment["spec"]["replicas"] = json!(replicas(surroundings));
    deployment["spec"]["strategy"] = json!({"type": "Recreate"});
    overrides::apply(&mut deployment, &resource["spec"]["apiServerDeployment"]);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "calico-api", "namespace": API_SERVER},
        "spec": {
            "selector": {"apiserver": "true"},
            "ports": [{"name": "apiserver", "port": 443, "protocol": "TCP", "targetPort": 5443}],
        },
    });
    let api = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v3.projectcalico.org"},
        "spec": {
            "group": "projectcalico.org", "version": "v3", "groupPriorityMinimum": 1500, "versionPriority": 200,
            "service": {"name": "calico-api", "namespace": API_SERVER, "port": 443},
        },
    });
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "allow-apiserver", "namespace": API_SERVER},
        "spec": {
            "podSelector": {"matchLabels": {"apiserver": "true"}},
            "ingress": [{"ports": [{"port": 5443, "protocol": "TCP"}]}],
        },
    });
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "calico-apiserver", "namespace": API_SERVER},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"apiserver": "true"}}},
    });
    let mut objects = foundation::namespace(API_SERVER, "privileged");
    objects.push(account(API_SERVER, "calico-apiserver"));
    objects.extend(rights());
    objects.extend([policy, service, budget, deployment, api]);
    objects
}

fn rights() -> Vec<Value> {
    let all = ["get", "list", "watch", "create", "update", "delete"];
    let read = ["get", "list", "watch"];
    let bind = |role: &str| binding(role, role, API_SERVER, "calico-apiserver");
    vec![
        role(
            "calico-crds",
            json!([
                {"apiGroups": ["", "networking.k8s.io"], "resources": ["networkpolicies", "nodes", "namespaces", "pods", "serviceaccounts"], "verbs": read},
                {"apiGroups": ["crd.projectcalico.org"], "resources": ["*"], "verbs": all},
            ]),
        ),
        bind("calico-crds"),
        role(
            "calico-extension-apiserver-auth-access",
            json!([
                {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["extension-apiserver-authentication"], "verbs": read},
                {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles", "clusterrolebindings", "roles", "rolebindings"], "verbs": read},
            ]),
        ),
        bind("calico-extension-apiserver-auth-access"),
        binding("calico-apiserver-delegate-auth", "system:auth-delegator", API_SERVER, "calico-apiserver"),
        role(
            "calico-webhook-reader",
            json!([{
                "apiGroups": ["admissionregistration.k8s.io"],
                "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"], "verbs": read,
            }]),
        ),
        binding("calico-apiserver-webhook-reader", "calico-webhook-reader", API_SERVER, "calico-apiserver"),
        role(
            "calico-tier-getter",
            json!([{"apiGroups": ["projectcalico.org"], "resources": ["tiers"], "verbs": ["get"]}]),
        ),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "calico-tier-getter"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "calico-tier-getter"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-controller-manager"}],
        }),
    ]
}
