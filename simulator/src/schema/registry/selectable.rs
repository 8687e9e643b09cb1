//! The fields that field selectors may name.

use super::info::ResourceInfo;
use serde_json::Value;

/// Fields of built-in kinds beyond `metadata.name` and `metadata.namespace`.
const FIELDS: &[(&str, &str, &[&str])] = &[
    (
        "",
        "Pod",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
    ),
    ("", "Node", &["spec.unschedulable"]),
    ("", "Namespace", &["status.phase"]),
    ("", "Secret", &["type"]),
    ("", "Service", &["spec.clusterIP", "spec.type"]),
    ("", "ReplicationController", &["status.replicas"]),
    (
        "",
        "Event",
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
    ("apps", "ReplicaSet", &["status.replicas"]),
    ("batch", "Job", &["status.successful"]),
    ("certificates.k8s.io", "CertificateSigningRequest", &["spec.signerName"]),
];

/// The value of a selectable field as a text; none if the kind can't be selected by it.
pub fn value(info: &ResourceInfo, object: &Value, field: &str) -> Option<String> {
    let allowed = matches!(field, "metadata.name" | "metadata.namespace")
        || builtin(info).is_some_and(|fields| fields.contains(&field))
        || info.crd.as_ref().is_some_and(|crd| crd.selectable.iter().any(|f| f == field));
    allowed.then(|| text(info, object, field))
}

fn builtin(info: &ResourceInfo) -> Option<&'static [&'static str]> {
    let resource = &info.resource;
    FIELDS
        .iter()
        .find(|(group, kind, _)| *group == resource.group && *kind == resource.kind)
        .map(|(_, _, fields)| *fields)
}

fn text(info: &ResourceInfo, object: &Value, field: &str) -> String {
    let found = field.split('.').try_fold(object, |at, name| at.get(name));
    match (found, field) {
        (Some(Value::String(text)), _) => text.clone(),
        (Some(Value::Object(source)), "source") => {
            source.get("component").and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        (Some(value), _) if !value.is_null() => value.to_string(),
        (_, "spec.unschedulable" | "spec.hostNetwork") => "false".to_owned(),
        (_, "status.replicas") if !info.is_custom() => "0".to_owned(),
        _ => String::new(),
    }
}
