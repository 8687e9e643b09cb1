//! A Flannel manifest of the user's own: read, checked, and gated like ours.

use super::config::networks_of;
use crate::cni::calico::canal::Vxlan;
use crate::cni::calico::images;
use crate::cni::{GATE_LABEL, NEW_SIDE};
use crate::object::{Kind, ObjectRef, Scope};
use crate::plan::action::NewObject;
use crate::yaml::{self, YamlError};
use ipnet::IpNet;
use serde_json::{Value, json};

/// Why a manifest can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not YAML.
    #[error("the Flannel manifest is not YAML: {0}. Give a file that `kubectl apply -f` accepts.")]
    NotYaml(#[from] YamlError),
    /// A document is no Kubernetes object.
    #[error(
        "document {document} of the Flannel manifest is no Kubernetes object: it has no {missing}. Give a file that \
         `kubectl apply -f` accepts."
    )]
    NotKubernetes {
        /// Counts from 1.
        document: usize,
        /// Which field.
        missing: &'static str,
    },
    /// A kind that a Flannel manifest has no use for.
    #[error(
        "the Flannel manifest holds a {kind}, which replank does not know how to install. Take it out of the file, and \
         apply it yourself if you need it."
    )]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// It holds a secret.
    #[error(
        "the Flannel manifest holds the Secret {name}, and what replank installs stands in its plan, where no secret \
         may be. Take it out of the file, and apply it yourself before the run."
    )]
    HoldsSecret {
        /// Its name.
        name: String,
    },
    /// There is no flanneld in it.
    #[error(
        "the Flannel manifest has no DaemonSet that runs a `flannel` image. Give upstream's kube-flannel.yml or one of \
         its kind."
    )]
    NoAgents,
    /// Its network configuration is missing or not JSON.
    #[error(
        "the Flannel manifest has no ConfigMap with a readable `net-conf.json` that names a network. Give upstream's \
         kube-flannel.yml or one of its kind."
    )]
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
    let mut objects = Vec::new();
    for (at, document) in yaml::documents(text)?.into_iter().enumerate().filter(|(_, d)| !d.is_null()) {
        for body in taken_apart(document) {
            objects.push(object(at + 1, body)?);
        }
    }
    let (networks, vxlan) = objects.iter().find_map(network_of).ok_or(ManifestError::NoNetwork)?;
    let mut gated = false;
    for object in &mut objects {
        gated |= gate(&mut object.body);
    }
    if gated { Ok(Manifest { objects, networks, vxlan }) } else { Err(ManifestError::NoAgents) }
}

/// The objects of a `List`, or the object itself.
fn taken_apart(document: Value) -> Vec<Value> {
    match document.get("items").and_then(Value::as_array) {
        Some(items) if document["kind"] == "List" => items.clone(),
        _ => vec![document],
    }
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
    if kind == "Secret" {
        return Err(ManifestError::HoldsSecret { name });
    }
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
        "DaemonSet" => ("daemonsets", Scope::Namespaced),
        _ => return None,
    })
}

fn network_of(object: &NewObject) -> Option<(Vec<IpNet>, Option<Vxlan>)> {
    let text = object.body.pointer("/data/net-conf.json")?.as_str()?;
    let conf = serde_json::from_str(text).ok()?;
    let networks: Vec<IpNet> = networks_of(&conf).iter().map(IpNet::trunc).collect();
    (!networks.is_empty()).then(|| (networks, Vxlan::of(&conf)))
}

/// Adds the gate to a DaemonSet that runs flanneld; says whether it was one.
fn gate(body: &mut Value) -> bool {
    if body["kind"] != "DaemonSet" || !images::of_template(&body["spec"]["template"]).any(images::is_flannel)
    {
        return false;
    }
    let selector = &mut body["spec"]["template"]["spec"]["nodeSelector"];
    if !selector.is_object() {
        // Null is none; what is no map the API server would refuse.
        *selector = json!({});
    }
    selector[GATE_LABEL] = NEW_SIDE.into();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What upstream's manifest comes down to, with a line of one's own in the pods' spec.
    fn flannel(line: &str) -> String {
        let network = r#"{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}"#;
        format!(
            "apiVersion: v1\nkind: List\nitems:\n\
             - apiVersion: v1\n  kind: ConfigMap\n  metadata: {{name: conf, namespace: kube-flannel}}\n  \
               data: {{net-conf.json: '{network}'}}\n---\n\
             apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: agents, namespace: kube-flannel}}\n\
             spec:\n  template:\n    spec:\n      {line}\n      \
               containers: [{{name: flanneld, image: \"ghcr.io/flannel-io/flannel:v0.28.9\"}}]\n"
        )
    }

    fn agents(line: &str) -> Value {
        let read = read(&flannel(line)).unwrap();
        read.objects.into_iter().find(|o| o.body["kind"] == "DaemonSet").unwrap().body
    }

    #[test]
    fn the_agents_run_behind_the_gate_and_the_network_is_known() {
        let read = read(&flannel("nodeSelector: {disk: ssd}")).unwrap();
        assert_eq!(read.networks, ["10.244.0.0/16".parse().unwrap()]);
        assert_eq!(read.objects.len(), 2, "a List is its objects");
        let selector = &agents("nodeSelector: {disk: ssd}")["spec"]["template"]["spec"]["nodeSelector"];
        assert_eq!(*selector, json!({"disk": "ssd", GATE_LABEL: NEW_SIDE}));
    }

    #[test]
    fn a_selector_that_is_no_map_is_no_reason_to_end() {
        for line in ["nodeSelector:", "nodeSelector: none"] {
            let selector = &agents(line)["spec"]["template"]["spec"]["nodeSelector"];
            assert_eq!(*selector, json!({GATE_LABEL: NEW_SIDE}));
        }
    }

    #[test]
    fn modes_are_octal_as_kubectl_reads_them() {
        let agents = agents("volumes: [{name: conf, configMap: {name: conf, defaultMode: 0644}}]");
        assert_eq!(agents["spec"]["template"]["spec"]["volumes"][0]["configMap"]["defaultMode"], 0o644);
    }

    #[test]
    fn a_secret_is_refused_and_not_repeated() {
        let secret = "- apiVersion: v1\n  kind: Secret\n  metadata: {name: psk}\n  stringData: {key: hush-hush}\n---\n";
        let error = read(&flannel("").replacen("---\n", secret, 1)).unwrap_err().to_string();
        assert!(error.contains("holds the Secret psk") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn what_is_no_flannel_is_told_with_what_to_give() {
        let said = |text: &str| read(text).unwrap_err().to_string();
        let agents = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: a}\n";
        assert!(said("a: b: c").starts_with("the Flannel manifest is not YAML: "));
        assert!(said("replicas: 3").contains("document 1 of the Flannel manifest is no Kubernetes object"));
        assert!(said(agents).contains("kube-flannel.yml"));
        let strange = "apiVersion: example.org/v1\nkind: Sail\nmetadata: {name: a}\n";
        assert!(said(strange).contains("holds a Sail"));
        let without_agents = flannel("").replace("flannel-io/flannel", "example/other");
        assert!(said(&without_agents).contains("no DaemonSet that runs"));
    }
}
