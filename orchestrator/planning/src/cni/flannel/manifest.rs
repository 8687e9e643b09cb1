//! A Flannel manifest of the user's own: read, checked, and gated like ours.

use super::config::networks_of;
use crate::cni::calico::canal::Vxlan;
use crate::cni::calico::images;
use crate::cni::{GATE_LABEL, NEW_SIDE};
use crate::object::{Kind, ObjectRef, Scope};
use crate::plan::action::NewObject;
use ipnet::IpNet;
use serde_json::Value;

/// Why a manifest can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not YAML.
    #[error("the Flannel manifest is not YAML: {0}. Give the file that `kubectl apply` accepts.")]
    NotYaml(String),
    /// A document is no Kubernetes object.
    #[error("document {document} of the Flannel manifest has no {missing}, so it is no Kubernetes object")]
    NotKubernetes {
        /// Counts from 1.
        document: usize,
        /// Which field.
        missing: &'static str,
    },
    /// A kind that a Flannel manifest has no use for.
    #[error(
        "the Flannel manifest holds a {kind}, which replank does not know how to install; remove it or apply it yourself"
    )]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// There is no flanneld in it.
    #[error("the Flannel manifest has no DaemonSet that runs a `flannel` image")]
    NoAgents,
    /// Its network configuration is missing or not JSON.
    #[error("the Flannel manifest has no ConfigMap with a readable `net-conf.json`")]
    NoNetwork,
}

/// A manifest that can be installed.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its objects in their order, the agents gated.
    pub objects: Vec<NewObject>,
    /// The ranges that its `net-conf.json` names.
    pub networks: Vec<IpNet>,
    /// How its nodes find each other's packets, if by VXLAN.
    pub vxlan: Option<Vxlan>,
}

/// Reads a manifest and gates its agents.
///
/// # Errors
/// When it is no YAML, no Kubernetes, or no Flannel.
pub fn read(text: &str) -> Result<Manifest, ManifestError> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|e| ManifestError::NotYaml(e.to_string()))?;
    let mut objects = Vec::new();
    for (at, document) in documents.into_iter().enumerate().filter(|(_, d)| !d.is_null()) {
        objects.push(object(at + 1, document)?);
    }
    let (networks, vxlan) = objects.iter().find_map(network_of).ok_or(ManifestError::NoNetwork)?;
    let mut gated = false;
    for object in &mut objects {
        gated |= gate(&mut object.body);
    }
    if gated { Ok(Manifest { objects, networks, vxlan }) } else { Err(ManifestError::NoAgents) }
}

fn object(document: usize, body: Value) -> Result<NewObject, ManifestError> {
    let text = |pointer: &str, missing: &'static str| {
        body.pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or(ManifestError::NotKubernetes { document, missing })
    };
    let (api_version, kind) = (text("/apiVersion", "apiVersion")?, text("/kind", "kind")?);
    let name = text("/metadata/name", "metadata.name")?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let (plural, scope) =
        plural_of(&kind).ok_or_else(|| ManifestError::UnknownKind { kind: kind.clone() })?;
    let namespace = match scope {
        Scope::Cluster => "",
        Scope::Namespaced => body.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default"),
    };
    let kind = Kind { group: group.into(), version: version.into(), kind, plural: plural.into(), scope };
    Ok(NewObject { object: ObjectRef::new(kind, namespace, &name), body })
}

fn plural_of(kind: &str) -> Option<(&'static str, Scope)> {
    Some(match kind {
        "Namespace" => ("namespaces", Scope::Cluster),
        "ServiceAccount" => ("serviceaccounts", Scope::Namespaced),
        "ClusterRole" => ("clusterroles", Scope::Cluster),
        "ClusterRoleBinding" => ("clusterrolebindings", Scope::Cluster),
        "Role" => ("roles", Scope::Namespaced),
        "RoleBinding" => ("rolebindings", Scope::Namespaced),
        "ConfigMap" => ("configmaps", Scope::Namespaced),
        "Secret" => ("secrets", Scope::Namespaced),
        "DaemonSet" => ("daemonsets", Scope::Namespaced),
        _ => return None,
    })
}

fn network_of(object: &NewObject) -> Option<(Vec<IpNet>, Option<Vxlan>)> {
    let text = object.body.pointer("/data/net-conf.json")?.as_str()?;
    let conf = serde_json::from_str(text).ok()?;
    let networks = networks_of(&conf);
    (!networks.is_empty()).then(|| (networks, Vxlan::of(&conf)))
}

/// Adds the gate to a DaemonSet that runs flanneld; says whether it was one.
fn gate(body: &mut Value) -> bool {
    if body["kind"] != "DaemonSet" || !images::of_template(&body["spec"]["template"]).any(images::is_flannel)
    {
        return false;
    }
    body["spec"]["template"]["spec"]["nodeSelector"][GATE_LABEL] = NEW_SIDE.into();
    true
}
