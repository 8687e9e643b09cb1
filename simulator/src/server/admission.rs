//! Admission: webhooks that nobody answers, and policies whose expressions somebody else evaluates.

use super::kinds::Kind;
use super::object::{items, name_of, namespace_of, text};
use super::options::Act;
use super::selectors::LabelSelector;
use super::state::State;
use super::status::Status;
use crate::schema::{Resource, builtin};
use serde_json::{Value, json};
use std::sync::Arc;

/// What an admission policy is asked about.
#[derive(Clone, Debug)]
pub struct PolicyRequest<'a> {
    /// The `ValidatingAdmissionPolicy`.
    pub policy: &'a Value,
    /// The binding that brings it into force.
    pub binding: &'a Value,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'a str,
    /// The kind of the object.
    pub resource: &'a Resource,
    /// The object as it would be stored; null for deletes.
    pub object: &'a Value,
    /// The object as it is stored; null for creates.
    pub old_object: &'a Value,
    /// The name of who asks.
    pub user: &'a str,
}

/// Evaluates a policy's expressions; an error is the message of the denial.
pub type PolicyEvaluator = Arc<dyn Fn(&PolicyRequest<'_>) -> Result<(), String> + Send + Sync>;

/// The policy evaluator, if one was given.
#[derive(Clone, Default)]
pub(crate) struct Policies {
    pub(crate) evaluator: Option<PolicyEvaluator>,
}

/// Groups whose objects no webhook is asked about.
fn exempt(resource: &Resource) -> bool {
    resource.group == "admissionregistration.k8s.io"
        && ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"]
            .contains(&resource.plural.as_ref())
}

/// Mutating webhooks.
pub(crate) fn mutate(
    state: &mut State,
    _act: &Act,
    kind: &Kind,
    operation: &str,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    webhooks(state, &builtin::MUTATING_WEBHOOK_CONFIGURATIONS, kind, operation, Some(object), old)
}

/// Validating policies and webhooks.
pub(crate) fn validate(
    state: &mut State,
    act: &Act,
    kind: &Kind,
    operation: &str,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), Status> {
    policies(state, act, kind, operation, object, old)?;
    webhooks(state, &builtin::VALIDATING_WEBHOOK_CONFIGURATIONS, kind, operation, object, old)
}

fn webhooks(
    state: &State,
    configurations: &Resource,
    kind: &Kind,
    operation: &str,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), Status> {
    if exempt(&kind.resource) || state.store.table(configurations).is_none_or(super::store::Table::is_empty) {
        return Ok(());
    }
    let about = object.or(old).unwrap_or(&Value::Null);
    for configuration in state.store.list(configurations, None) {
        for webhook in items(&configuration.object, "/webhooks") {
            let rules = items(webhook, "/rules");
            if !rules.iter().any(|rule| rule_matches(rule, kind, operation))
                || !selected(state, webhook, kind, about)
            {
                continue;
            }
            if let Err(why) = reachable(state, webhook) {
                if text(webhook, "/failurePolicy") == "Ignore" {
                    continue;
                }
                let name = text(webhook, "/name");
                return Err(Status::internal(format!(
                    "failed calling webhook \"{name}\": failed to call webhook: {why}"
                )));
            }
        }
    }
    Ok(())
}

fn rule_matches(rule: &Value, kind: &Kind, operation: &str) -> bool {
    let has =
        |field: &str, wanted: &str| items(rule, field).iter().any(|value| value == "*" || value == wanted);
    let resources = items(rule, "/resources")
        .iter()
        .any(|value| value == "*" || value == "*/*" || value == kind.resource.plural.as_ref());
    let scope = match text(rule, "/scope") {
        "Namespaced" => kind.resource.namespaced,
        "Cluster" => !kind.resource.namespaced,
        _ => true,
    };
    has("/operations", operation)
        && has("/apiGroups", &kind.resource.group)
        && has("/apiVersions", &kind.resource.version)
        && resources
        && scope
}

/// Whether the selectors of a webhook or a match constraint pick the object.
fn selected(state: &State, chooser: &Value, kind: &Kind, object: &Value) -> bool {
    let matches = |selector: &Value, labels: &Value| {
        selector.is_null() || LabelSelector::from_object(selector).matches(labels)
    };
    if !matches(&chooser["objectSelector"], &object["metadata"]["labels"]) {
        return false;
    }
    let selector = &chooser["namespaceSelector"];
    let namespace = if kind.resource == builtin::NAMESPACES {
        name_of(object).to_owned()
    } else {
        namespace_of(object).to_owned()
    };
    if selector.is_null() || namespace.is_empty() {
        return true;
    }
    let found = state.store.get(&builtin::NAMESPACES, "", &namespace);
    let labels = found.map_or(&json!({}), |_| &Value::Null).clone();
    let labels = state
        .store
        .get(&builtin::NAMESPACES, "", &namespace)
        .map_or(labels, |found| found.object["metadata"]["labels"].clone());
    matches(selector, &labels)
}

/// Whether the backend of a webhook answers: its Service has a ready endpoint.
fn reachable(state: &State, webhook: &Value) -> Result<(), String> {
    let service = &webhook["clientConfig"]["service"];
    if service.is_null() {
        return Ok(());
    }
    let (namespace, name) = (text(service, "/namespace"), text(service, "/name"));
    let port = service["port"].as_u64().unwrap_or(443);
    let path = text(service, "/path");
    let seconds = webhook["timeoutSeconds"].as_u64().unwrap_or(10);
    let url = format!("https://{name}.{namespace}.svc:{port}{path}?timeout={seconds}s");
    match backend(state, namespace, name) {
        Backend::Ready => Ok(()),
        Backend::NoService => Err(format!("Post \"{url}\": service \"{name}\" not found")),
        Backend::NoEndpoints => Err(format!("Post \"{url}\": no endpoints available for service \"{name}\"")),
    }
}

/// What stands behind a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Ready,
    NoService,
    NoEndpoints,
}

/// What stands behind a Service: from its EndpointSlices, else from its ready pods.
pub(crate) fn backend(state: &State, namespace: &str, name: &str) -> Backend {
    let Some(service) = state.store.get(&builtin::SERVICES, namespace, name) else {
        return Backend::NoService;
    };
    let slices = state.store.list(&builtin::ENDPOINT_SLICES, Some(namespace));
    let mut slices = slices
        .iter()
        .filter(|slice| {
            slice.object.pointer("/metadata/labels/kubernetes.io~1service-name") == Some(&json!(name))
        })
        .peekable();
    let ready = if slices.peek().is_some() {
        slices.any(|slice| {
            items(&slice.object, "/endpoints").iter().any(|endpoint| {
                endpoint.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true)
            })
        })
    } else {
        let selector = LabelSelector::from_map(&service.object["spec"]["selector"]);
        state.store.list(&builtin::PODS, Some(namespace)).iter().any(|pod| {
            selector.matches(&pod.object["metadata"]["labels"]) && super::eviction::is_ready(&pod.object)
        })
    };
    if ready { Backend::Ready } else { Backend::NoEndpoints }
}

fn policies(
    state: &State,
    act: &Act,
    kind: &Kind,
    operation: &str,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), Status> {
    let Some(evaluator) = &state.policies.evaluator else { return Ok(()) };
    if kind.resource.group == "admissionregistration.k8s.io" {
        return Ok(());
    }
    let about = object.or(old).unwrap_or(&Value::Null);
    for binding in state.store.list(&builtin::VALIDATING_ADMISSION_POLICY_BINDINGS, None) {
        let binding = &*binding.object;
        let denies = items(binding, "/spec/validationActions").iter().any(|action| action == "Deny");
        let Some(policy) =
            state.store.get(&builtin::VALIDATING_ADMISSION_POLICIES, "", text(binding, "/spec/policyName"))
        else {
            continue;
        };
        let constraints = &policy.object["spec"]["matchConstraints"];
        let rules = items(constraints, "/resourceRules");
        let matched = denies
            && rules.iter().any(|rule| rule_matches(rule, kind, operation))
            && selected(state, constraints, kind, about)
            && selected(state, &binding["spec"]["matchResources"], kind, about);
        if !matched {
            continue;
        }
        let request = PolicyRequest {
            policy: &policy.object,
            binding,
            operation,
            resource: &kind.resource,
            object: object.unwrap_or(&Value::Null),
            old_object: old.unwrap_or(&Value::Null),
            user: &act.user,
        };
        if let Err(why) = evaluator(&request) {
            let message = format!(
                "ValidatingAdmissionPolicy '{}' with binding '{}' denied request: {why}",
                name_of(&policy.object),
                name_of(binding)
            );
            let mut status = Status::forbidden(&kind.resource, name_of(about), &message);
            status.code = 422;
            status.reason = "Invalid".into();
            return Err(status.cause("", None, message));
        }
    }
    Ok(())
}
