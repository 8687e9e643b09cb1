//! Short names, categories, verbs and subresources of the built-in kinds.

use super::info::{ALL_VERBS, CREATE_ONLY, READ_AND_WRITE, ResourceInfo, SubresourceInfo, Verb};
use crate::schema::builtin as kinds;
use crate::schema::definitions;
use crate::schema::resource::Resource;
use crate::schema::structural::{Kind, Schema};
use std::sync::Arc;

const GET_ONLY: &[Verb] = &[Verb::Get];
const STATUS: SubresourceInfo = SubresourceInfo { name: "status", kind: None, verbs: READ_AND_WRITE };
const SCALE: SubresourceInfo =
    SubresourceInfo { name: "scale", kind: Some(("autoscaling", "v1", "Scale")), verbs: READ_AND_WRITE };

/// The version and kind of a built-in resource, as the registry holds it.
pub fn info(resource: &Resource) -> ResourceInfo {
    let schema = definitions::index_of(&resource.group, &resource.version, &resource.kind)
        .map_or_else(Schema::any, |index| Schema::of(Kind::Reference(index)));
    ResourceInfo {
        resource: resource.clone(),
        storage_version: resource.version.clone().into_owned(),
        singular: resource.kind.to_lowercase(),
        list_kind: format!("{}List", resource.kind),
        short_names: owned(short_names(resource)),
        categories: owned(categories(resource)),
        verbs: verbs(resource),
        subresources: subresources(resource),
        schema: Arc::new(schema),
        crd: None,
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn verbs(resource: &Resource) -> &'static [Verb] {
    match &*resource.group {
        "authentication.k8s.io" | "authorization.k8s.io" => CREATE_ONLY,
        _ => ALL_VERBS,
    }
}

fn short_names(resource: &Resource) -> &'static [&'static str] {
    match &*resource.plural {
        "pods" => &["po"],
        "nodes" => &["no"],
        "namespaces" => &["ns"],
        "services" => &["svc"],
        "endpoints" => &["ep"],
        "configmaps" => &["cm"],
        "serviceaccounts" => &["sa"],
        "events" => &["ev"],
        "persistentvolumes" => &["pv"],
        "persistentvolumeclaims" => &["pvc"],
        "replicationcontrollers" => &["rc"],
        "resourcequotas" => &["quota"],
        "limitranges" => &["limits"],
        "deployments" => &["deploy"],
        "replicasets" => &["rs"],
        "daemonsets" => &["ds"],
        "statefulsets" => &["sts"],
        "cronjobs" => &["cj"],
        "poddisruptionbudgets" => &["pdb"],
        "horizontalpodautoscalers" => &["hpa"],
        "networkpolicies" => &["netpol"],
        "ingresses" => &["ing"],
        "ipaddresses" => &["ip"],
        "storageclasses" => &["sc"],
        "priorityclasses" => &["pc"],
        "certificatesigningrequests" => &["csr"],
        "customresourcedefinitions" => &["crd", "crds"],
        _ => &[],
    }
}

fn categories(resource: &Resource) -> &'static [&'static str] {
    match &*resource.plural {
        "pods"
        | "services"
        | "replicationcontrollers"
        | "deployments"
        | "replicasets"
        | "daemonsets"
        | "statefulsets"
        | "jobs"
        | "cronjobs"
        | "horizontalpodautoscalers" => &["all"],
        _ => match &*resource.group {
            "admissionregistration.k8s.io" | "apiextensions.k8s.io" | "apiregistration.k8s.io" => {
                &["api-extensions"]
            }
            _ => &[],
        },
    }
}

fn subresources(resource: &Resource) -> Vec<SubresourceInfo> {
    let own = |name: &'static str, verbs: &'static [Verb]| SubresourceInfo { name, kind: None, verbs };
    let other = |name: &'static str, kind: (&'static str, &'static str, &'static str)| SubresourceInfo {
        name,
        kind: Some(kind),
        verbs: CREATE_ONLY,
    };
    match &*resource.plural {
        "pods" => vec![
            other("binding", ("", "v1", "Binding")),
            own("ephemeralcontainers", READ_AND_WRITE),
            other("eviction", ("policy", "v1", "Eviction")),
            own("log", GET_ONLY),
            own("resize", READ_AND_WRITE),
            STATUS,
        ],
        "serviceaccounts" => vec![other("token", ("authentication.k8s.io", "v1", "TokenRequest"))],
        "namespaces" => vec![own("finalize", &[Verb::Update]), STATUS],
        "certificatesigningrequests" => vec![own("approval", READ_AND_WRITE), STATUS],
        "deployments" | "replicasets" | "statefulsets" | "replicationcontrollers" => vec![SCALE, STATUS],
        "nodes"
        | "services"
        | "persistentvolumes"
        | "persistentvolumeclaims"
        | "resourcequotas"
        | "daemonsets"
        | "jobs"
        | "cronjobs"
        | "poddisruptionbudgets"
        | "horizontalpodautoscalers"
        | "ingresses"
        | "servicecidrs"
        | "volumeattachments"
        | "customresourcedefinitions"
        | "apiservices"
        | "validatingadmissionpolicies" => vec![STATUS],
        _ => Vec::new(),
    }
}

/// Every built-in resource.
pub fn all() -> impl Iterator<Item = ResourceInfo> {
    kinds::ALL.iter().map(info)
}
