//! Admission: webhooks that nobody answers, and policies whose expressions somebody else evaluates.

use super::kinds::Kind;
use super::object::{items, labels_of, metadata, name_of, namespace_of, text};
use super::options::{Act, Subresource};
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

/// A write that is to be admitted.
#[derive(Clone, Copy)]
pub(crate) struct Write<'a> {
    pub(crate) kind: &'a Kind,
    /// What of the object is written, or which act on it is asked for.
    pub(crate) subresource: Subresource,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub(crate) operation: &'static str,
    /// The object as it would be stored, or what was sent to its subresource; none for deletes.
    pub(crate) object: Option<&'a Value>,
    /// The same as it is stored; none for creates.
    pub(crate) old: Option<&'a Value>,
}

impl<'a> Write<'a> {
    /// What there will be, or what there was.
    fn about(&self) -> &'a Value {
        self.object.or(self.old).unwrap_or(&Value::Null)
    }
}

/// Mutating webhooks.
pub(crate) fn mutate(state: &State, write: &Write<'_>) -> Result<(), Status> {
    webhooks(state, &builtin::MUTATING_WEBHOOK_CONFIGURATIONS, write)
}

/// Validating policies and webhooks.
pub(crate) fn validate(state: &State, act: &Act, write: &Write<'_>) -> Result<(), Status> {
    policies(state, act, write)?;
    webhooks(state, &builtin::VALIDATING_WEBHOOK_CONFIGURATIONS, write)
}

/// Admits what is sent to a subresource that is an act: an Eviction, a Binding, a TokenRequest.
pub(crate) fn admit_act(
    state: &State,
    act: &Act,
    resource: &Resource,
    subresource: Subresource,
    namespace: &str,
    mut sent: Value,
) -> Result<(), Status> {
    let kind = state.kind(resource)?;
    metadata(&mut sent).insert("namespace".into(), json!(namespace));
    let write = Write { kind: &kind, subresource, operation: "CREATE", object: Some(&sent), old: None };
    mutate(state, &write)?;
    validate(state, act, &write)
}

fn webhooks(state: &State, configurations: &Resource, write: &Write<'_>) -> Result<(), Status> {
    let nobody_asks = || state.store.table(configurations).is_none_or(super::store::Table::is_empty);
    if exempt(&write.kind.resource) || nobody_asks() {
        return Ok(());
    }
    for configuration in state.store.list(configurations, None) {
        for webhook in items(&configuration.object, "/webhooks") {
            let rules = items(webhook, "/rules");
            if !rules.iter().any(|rule| rule_matches(rule, write)) || !selected(state, webhook, write) {
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

fn rule_matches(rule: &Value, write: &Write<'_>) -> bool {
    let resource = &write.kind.resource;
    let has =
        |field: &str, wanted: &str| items(rule, field).iter().any(|value| value == "*" || value == wanted);
    let scope = match text(rule, "/scope") {
        "Namespaced" => resource.namespaced,
        "Cluster" => !resource.namespaced,
        _ => true,
    };
    has("/operations", write.operation)
        && has("/apiGroups", &resource.group)
        && has("/apiVersions", &resource.version)
        && items(rule, "/resources").iter().filter_map(Value::as_str).any(|named| names(named, write))
        && scope
}

/// Whether a rule's `pods`, `pods/status`, `pods/*`, `*`, `*/scale` or the like names what is written. As in the
/// real server, `pods/*` names the pods themselves too.
fn names(named: &str, write: &Write<'_>) -> bool {
    let (plural, part) = named.split_once('/').unwrap_or((named, ""));
    (plural == "*" || plural == write.kind.resource.plural)
        && (part == "*" || part == write.subresource.as_str())
}

/// Whether the selectors of a webhook or a match constraint pick what is written.
fn selected(state: &State, chooser: &Value, write: &Write<'_>) -> bool {
    let picks = |field: &str, labels: &Value| {
        let selector = &chooser[field];
        selector.is_null() || LabelSelector::from_object(selector).matches(labels)
    };
    // An object that leaves what a webhook watches is still shown to it.
    let mut versions = write.object.into_iter().chain(write.old);
    versions.any(|object| picks("objectSelector", labels_of(object)))
        && namespace_labels(state, write).is_none_or(|labels| picks("namespaceSelector", &labels))
}

/// The labels of the namespace that is written, or written in; nothing for what is in none.
fn namespace_labels(state: &State, write: &Write<'_>) -> Option<Value> {
    let itself = write.kind.resource == builtin::NAMESPACES;
    if let Some(object) = write.object
        && itself
        && write.subresource == Subresource::None
    {
        return Some(labels_of(object).clone());
    }
    let name = if itself { name_of(write.about()) } else { namespace_of(write.about()) };
    if name.is_empty() {
        return None;
    }
    let namespace = state.store.get(&builtin::NAMESPACES, "", name);
    Some(namespace.map_or(Value::Null, |namespace| labels_of(&namespace.object).clone()))
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

fn policies(state: &State, act: &Act, write: &Write<'_>) -> Result<(), Status> {
    let Some(evaluator) = &state.policies.evaluator else { return Ok(()) };
    let resource = &write.kind.resource;
    if resource.group == "admissionregistration.k8s.io" {
        return Ok(());
    }
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
            && rules.iter().any(|rule| rule_matches(rule, write))
            && selected(state, constraints, write)
            && selected(state, &binding["spec"]["matchResources"], write);
        if !matched {
            continue;
        }
        let request = PolicyRequest {
            policy: &policy.object,
            binding,
            operation: write.operation,
            resource,
            object: write.object.unwrap_or(&Value::Null),
            old_object: write.old.unwrap_or(&Value::Null),
            user: &act.user,
        };
        if let Err(why) = evaluator(&request) {
            let message = format!(
                "ValidatingAdmissionPolicy '{}' with binding '{}' denied request: {why}",
                name_of(&policy.object),
                name_of(binding)
            );
            let mut status = Status::forbidden(resource, name_of(write.about()), &message);
            status.code = 422;
            status.reason = "Invalid".into();
            return Err(status.cause("", None, message));
        }
    }
    Ok(())
}
