//! What the API server does to objects of particular kinds before it stores them, and what it
//! refuses: the registries' strategies, as far as clients here can tell the difference.

mod namespaces;
mod nodes;
mod pods;
mod services;

use super::kinds::Kind;
use super::options::{Act, DeleteOptions, Subresource};
use super::state::State;
use super::status::Status;
use serde_json::{Value, json};

/// Whether the kind counts its spec's versions in `metadata.generation`.
pub(crate) fn has_generation(kind: &Kind) -> bool {
    const WITH: &[&str] = &[
        "pods",
        "deployments",
        "replicasets",
        "daemonsets",
        "statefulsets",
        "jobs",
        "cronjobs",
        "poddisruptionbudgets",
        "networkpolicies",
        "ingresses",
        "ingressclasses",
        "endpointslices",
        "replicationcontrollers",
        "customresourcedefinitions",
        "priorityclasses",
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    ];
    kind.custom || WITH.contains(&kind.resource.plural.as_ref())
}

/// Refuses an update that names no version, where the kind wants one.
pub(crate) fn check_unconditional(kind: &Kind, name: &str) -> Result<(), Status> {
    const WANT_ONE: &[&str] = &[
        "leases",
        "leasecandidates",
        "poddisruptionbudgets",
        "csidrivers",
        "csinodes",
        "volumeattachments",
        "csistoragecapacities",
        "runtimeclasses",
        "customresourcedefinitions",
        "apiservices",
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    ];
    if !kind.custom && !WANT_ONE.contains(&kind.resource.plural.as_ref()) {
        return Ok(());
    }
    let why = "Invalid value: 0: must be specified for an update".to_owned();
    Err(Status::invalid(&kind.resource, name, &[("metadata.resourceVersion", "FieldValueInvalid", why)]))
}

fn is(kind: &Kind, group: &str, plural: &str) -> bool {
    kind.resource.group == group && kind.resource.plural == plural
}

/// Completes a new object: what its status starts as, what other objects it needs.
pub(crate) fn prepare_create(
    state: &mut State,
    act: &Act,
    kind: &Kind,
    object: &mut Value,
) -> Result<(), Status> {
    let keeps_status = is(kind, "", "nodes") || is(kind, "apiregistration.k8s.io", "apiservices");
    if kind.status
        && !keeps_status
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
    if is(kind, "", "pods") {
        pods::prepare_create(state, object)?;
    } else if is(kind, "", "namespaces") {
        namespaces::prepare_create(object);
    } else if is(kind, "", "nodes") {
        nodes::prepare_create(object);
    } else if is(kind, "", "persistentvolumeclaims") || is(kind, "", "persistentvolumes") {
        object["status"] = json!({"phase": "Pending"});
    } else if is(kind, "apps", "deployments") || is(kind, "apps", "replicasets") {
        object["status"] =
            if kind.resource.plural == "replicasets" { json!({"replicas": 0}) } else { json!({}) };
    } else if is(kind, "certificates.k8s.io", "certificatesigningrequests") {
        object["status"] = json!({});
        let spec = super::object::child(object, "spec");
        spec.insert("username".into(), json!(act.user));
        spec.insert("groups".into(), json!(act.groups));
    }
    Ok(())
}

/// Refuses new objects that break a rule the schema can't know.
pub(crate) fn validate_create(state: &State, kind: &Kind, object: &Value) -> Result<(), Status> {
    if is(kind, "apiextensions.k8s.io", "customresourcedefinitions") {
        return super::crds::validate(kind, object);
    }
    if kind.custom {
        return super::crds::validate_instance(state, kind, object);
    }
    Ok(())
}

/// Completes a changed object.
pub(crate) fn prepare_update(kind: &Kind, subresource: Subresource, old: &Value, object: &mut Value) {
    if is(kind, "", "namespaces") && subresource == Subresource::None {
        super::object::carry(&old["spec"], super::object::child(object, "spec"), "finalizers");
    } else if is(kind, "", "services") {
        services::prepare_update(old, object);
    }
}

/// Refuses changes that break a rule the schema can't know.
pub(crate) fn validate_update(kind: &Kind, subresource: Subresource, object: &Value) -> Result<(), Status> {
    if is(kind, "apiextensions.k8s.io", "customresourcedefinitions") && subresource == Subresource::None {
        return super::crds::validate(kind, object);
    }
    Ok(())
}

/// Gives the object what is the server's to give out, such as a Service's address.
pub(crate) fn allocate(
    state: &mut State,
    kind: &Kind,
    old: Option<&Value>,
    object: &mut Value,
) -> Result<(), Status> {
    if is(kind, "", "services") { services::allocate(state, kind, old, object) } else { Ok(()) }
}

/// Refuses deletions nobody may make.
pub(crate) fn validate_delete(kind: &Kind, object: &Value) -> Result<(), Status> {
    if is(kind, "", "namespaces") {
        return namespaces::validate_delete(kind, object);
    }
    Ok(())
}

/// The seconds the object has to end.
pub(crate) fn grace(kind: &Kind, object: &Value, options: &DeleteOptions) -> i64 {
    if is(kind, "", "pods") { pods::grace(object, options) } else { 0 }
}

/// Whether the kind keeps the object for a while although no finalizer does.
pub(crate) fn holds_deletion(kind: &Kind, object: &Value) -> bool {
    is(kind, "", "namespaces")
        && object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

/// Changes the kind makes to itself when it is marked for deletion.
pub(crate) fn mark_deleted(act: &Act, kind: &Kind, object: &mut Value) {
    if is(kind, "", "namespaces") {
        super::object::child(object, "status").insert("phase".into(), json!("Terminating"));
    } else if is(kind, "apiextensions.k8s.io", "customresourcedefinitions") {
        super::crds::mark_deleted(act, object);
    }
}
