//! What Calico's API server did, where its kinds are definitions: webhooks and admission policies.

use super::{Calico, access, definitions};
use crate::schema::structural::cel;
use crate::server::PolicyEvaluator;
use serde_json::{Value, json};
use std::sync::Arc;

const GROUP: &str = "projectcalico.org";
const ADMISSION: &str = "admissionregistration.k8s.io";
const POLICIES: [&str; 2] = ["networkpolicies", "globalnetworkpolicies"];
const NAME: &str = "calico-webhooks";

pub(super) fn objects(calico: &Calico) -> Vec<Value> {
    let rules = json!([
        access::rule("authorization.k8s.io", &["subjectaccessreviews"], &["create"]),
        access::rule(GROUP, &["tiers"], &["get", "list", "watch"]),
    ]);
    let mut objects = vec![
        access::account(NAME),
        access::role(NAME, &rules),
        access::binding(NAME, NAME, NAME),
        // Upstream's own kind comes along in its manifest, and stays.
        definitions::definition("policy.networking.k8s.io", "v1alpha2", "ClusterNetworkPolicy", "Cluster"),
        service(),
        deployment(calico),
        configuration(),
    ];
    objects[3]["metadata"]["annotations"] =
        json!({"api-approved.kubernetes.io": "unapproved, for a simulated cluster"});
    objects.extend(mutating("tierlabel.policy.projectcalico.org", "set-tier-label-binding"));
    objects.extend(mutating("policytypes.policy.projectcalico.org", "set-policytypes-binding"));
    objects.extend(protection());
    objects
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": "kube-system"},
        "spec": {"selector": {"k8s-app": NAME}, "ports": [{"port": 443, "targetPort": 6443, "protocol": "TCP"}]},
    })
}

fn deployment(calico: &Calico) -> Value {
    let labels = json!({"k8s-app": NAME});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": "kube-system", "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": NAME,
                    "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}],
                    "containers": [{
                        "name": NAME,
                        "image": calico.image("webhooks"),
                        "ports": [{"containerPort": 6443}],
                        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 6443, "scheme": "HTTPS"}},
                        "volumeMounts": [{"name": "certs", "mountPath": "/certs", "readOnly": true}],
                    }],
                    "volumes": [{"name": "certs", "secret": {"secretName": "calico-webhooks-tls"}}],
                },
            },
        },
    })
}

fn configuration() -> Value {
    json!({
        "apiVersion": format!("{ADMISSION}/v1"), "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [{
            "name": "tiered-rbac.projectcalico.org",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": NAME, "namespace": "kube-system", "path": "/rbac"}},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "rules": [{
                "apiGroups": [GROUP], "apiVersions": ["v3"], "operations": ["CREATE", "UPDATE", "DELETE"],
                "resources": POLICIES, "scope": "*",
            }],
        }],
    })
}

fn about(resources: &[&str], operations: &[&str]) -> Value {
    json!({"resourceRules": [{
        "apiGroups": [GROUP], "apiVersions": ["v3"], "operations": operations, "resources": resources,
    }]})
}

fn mutating(name: &str, binding: &str) -> [Value; 2] {
    let matched = about(&POLICIES, &["CREATE", "UPDATE"]);
    let expression =
        "!has(object.spec.tier) ? [JSONPatch{op: \"add\", path: \"/spec/tier\", value: \"default\"}] : []";
    [
        json!({
            "apiVersion": format!("{ADMISSION}/v1beta1"), "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": matched, "failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded",
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
            },
        }),
        json!({
            "apiVersion": format!("{ADMISSION}/v1beta1"), "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": binding}, "spec": {"policyName": name, "matchResources": matched},
        }),
    ]
}

/// Built-in tiers can't be deleted while this is in force.
fn protection() -> [Value; 2] {
    let name = "protect-builtin-tiers.projectcalico.org";
    [
        json!({
            "apiVersion": format!("{ADMISSION}/v1"), "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": about(&["tiers"], &["DELETE"]),
                "validations": [{
                    "expression": "!(oldObject.metadata.name in ['default', 'kube-admin', 'kube-baseline'])",
                    "message": "a built-in tier cannot be deleted",
                }],
            },
        }),
        json!({
            "apiVersion": format!("{ADMISSION}/v1"), "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
        }),
    ]
}

/// Evaluates the expressions of admission policies as the API server does, as far as they speak of
/// the object, the one before it and the operation.
pub fn evaluator() -> PolicyEvaluator {
    Arc::new(|request| {
        let validations = request.policy["spec"]["validations"].as_array().into_iter().flatten();
        let operation = json!({"operation": request.operation, "userInfo": {"username": request.user}});
        let bound = [("object", request.object), ("oldObject", request.old_object), ("request", &operation)];
        for validation in validations {
            let expression = validation["expression"].as_str().unwrap_or_default();
            let message = || {
                let text = validation["message"].as_str().map(str::to_owned);
                text.unwrap_or_else(|| format!("failed expression: {expression}"))
            };
            match cel::expression(expression, &bound) {
                Ok(true) => {}
                Ok(false) => return Err(message()),
                // A policy that can't be evaluated denies if it says so, and is silent otherwise.
                Err(why) if request.policy["spec"]["failurePolicy"] != "Ignore" => return Err(why),
                Err(_) => {}
            }
        }
        Ok(())
    })
}
