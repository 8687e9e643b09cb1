//! What guards pods and reaches them: budgets, policies, Services, webhooks.

use super::selector::selects;
use crate::steps::support::{items, number, text};
use replank_planning::object::{Kind, ObjectRef};
use replank_planning::state::{Budget, Inventory, PodState, Policy, Service, Webhook, WebhookFailure};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) fn budgets(inventory: &Inventory, pods: &[PodState]) -> Vec<Budget> {
    let plain = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    inventory
        .of("policy", "PodDisruptionBudget")
        .map(|object| {
            let body = &object.body;
            let namespace = &object.id.object.namespace;
            let selector = body["spec"]["selector"].clone();
            Budget {
                namespace: namespace.clone(),
                name: object.id.object.name.clone(),
                min_available: plain(&body["spec"]["minAvailable"]),
                max_unavailable: plain(&body["spec"]["maxUnavailable"]),
                disruptions_allowed: number(body, "/status/disruptionsAllowed"),
                current_healthy: number(body, "/status/currentHealthy"),
                desired_healthy: number(body, "/status/desiredHealthy"),
                expected_pods: number(body, "/status/expectedPods"),
                pods: pods
                    .iter()
                    .filter(|p| p.namespace == *namespace && selects(&selector, &p.labels))
                    .map(|p| format!("{}/{}", p.namespace, p.name))
                    .collect(),
                selector,
            }
        })
        .collect()
}

/// Policies of every kind that is called so; staged ones enforce nothing.
pub(super) fn policies(inventory: &Inventory) -> Vec<Policy> {
    let mut policies: Vec<Policy> = inventory
        .iter()
        .filter(|o| {
            let kind = o.id.object.kind.kind.as_str();
            kind.ends_with("NetworkPolicy") && !kind.starts_with("Staged")
        })
        .map(|o| Policy { object: o.id.object.clone() })
        .collect();
    policies.sort();
    policies
}

pub(super) fn services(inventory: &Inventory, pods: &[PodState]) -> Vec<Service> {
    inventory
        .of("", "Service")
        .map(|object| {
            let namespace = &object.id.object.namespace;
            let selector = selector(&object.body);
            Service {
                namespace: namespace.clone(),
                name: object.id.object.name.clone(),
                cluster_ips: items(&object.body, "/spec/clusterIPs")
                    .iter()
                    .filter_map(|ip| ip.as_str()?.parse().ok())
                    .collect(),
                pods: behind(namespace, &selector, pods)
                    .filter(|p| !p.host_network)
                    .map(|p| format!("{}/{}", p.namespace, p.name))
                    .collect(),
                selector,
            }
        })
        .collect()
}

fn selector(service: &Value) -> BTreeMap<String, String> {
    service["spec"]["selector"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned()))
        .collect()
}

/// The pods that a Service selects; an empty selector selects none.
fn behind<'a>(
    namespace: &'a str,
    labels: &BTreeMap<String, String>,
    pods: &'a [PodState],
) -> impl Iterator<Item = &'a PodState> {
    let selector = if labels.is_empty() { json!(null) } else { json!({"matchLabels": labels}) };
    pods.iter().filter(move |p| p.namespace == namespace && selects(&selector, &p.labels))
}

pub(super) fn webhooks(inventory: &Inventory, pods: &[PodState]) -> Vec<Webhook> {
    let mut found = Vec::new();
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        for object in inventory.of("admissionregistration.k8s.io", kind) {
            for hook in items(&object.body, "/webhooks") {
                let Some((namespace, name)) = service_of(&hook["clientConfig"]["service"]) else { continue };
                let failure = match text(hook, "/failurePolicy") {
                    "Ignore" => WebhookFailure::Open,
                    _ => WebhookFailure::Closed,
                };
                let hook = text(hook, "/name");
                found.push(webhook(inventory, pods, &object.id.object, hook, &namespace, &name, failure));
            }
        }
    }
    for object in inventory.of("apiregistration.k8s.io", "APIService") {
        let Some((namespace, name)) = service_of(&object.body["spec"]["service"]) else { continue };
        let reference = &object.id.object;
        let closed = WebhookFailure::Closed;
        found.push(webhook(inventory, pods, reference, &reference.name, &namespace, &name, closed));
    }
    found
}

fn service_of(service: &Value) -> Option<(String, String)> {
    let name = text(service, "/name");
    (!name.is_empty()).then(|| (text(service, "/namespace").to_owned(), name.to_owned()))
}

fn webhook(
    inventory: &Inventory,
    pods: &[PodState],
    object: &ObjectRef,
    hook: &str,
    namespace: &str,
    service: &str,
    failure: WebhookFailure,
) -> Webhook {
    let kind = Kind::namespaced("", "v1", "Service", "services");
    let there = inventory.find(&ObjectRef::new(kind, namespace, service));
    let on_pod_network = there.is_none_or(|there| {
        let labels = selector(&there.body);
        let mut backends = behind(namespace, &labels, pods).peekable();
        // Without pods nobody knows where they will run; without a selector they are no pods.
        if backends.peek().is_none() { !labels.is_empty() } else { backends.any(|p| !p.host_network) }
    });
    Webhook {
        object: object.clone(),
        name: hook.to_owned(),
        service: format!("{namespace}/{service}"),
        failure,
        on_pod_network,
    }
}
