//! Applying manifests as their users do: definitions and namespaces first, and once more whatever
//! needed something that was not there yet.

use super::ScenarioError;
use super::manifest::Manifest;
use crate::machines::api::{Api, ApiFailure, Patch, path, text};
use crate::server::Server;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often what was not served yet is tried again; each time a second passes.
const ATTEMPTS: usize = 120;

/// Applies every object of the manifests.
pub(super) async fn manifests(server: &Server, manifests: &[Manifest]) -> Result<(), ScenarioError> {
    let objects: Vec<Value> = manifests.iter().flat_map(|m| m.objects.iter().cloned()).collect();
    let expected = expected_secrets(&objects);
    objects_of(server, "kubectl", objects).await?;
    objects_of(server, "kubectl", expected).await
}

/// Applies the built-in Calico, with the Secrets that its documentation asks its reader to make.
pub(super) async fn built_in(server: &Server, objects: Vec<Value>) -> Result<(), ScenarioError> {
    let expected = expected_secrets(&objects);
    objects_of(server, "kubectl", objects).await?;
    objects_of(server, "kubectl", expected).await
}

/// Switches kube-proxy off, as Calico's documentation does where its eBPF datapath stands in.
pub(super) async fn kube_proxy_off(server: &Server) -> Result<(), ScenarioError> {
    let patch = json!({"spec": {"template": {"spec": {"nodeSelector": {"non-calico": "true"}}}}});
    let at = path("/apis/apps/v1", "kube-system", "daemonsets", "kube-proxy");
    let api = Api::new(server.client("kubectl"));
    api.patch(&at, Patch::Merge, &patch).await.map_err(|failure| ScenarioError::Refused {
        object: "DaemonSet kube-proxy".to_owned(),
        reason: describe(&failure),
    })
}

/// Applies objects under a client's name.
pub(super) async fn objects_of(
    server: &Server,
    client: &str,
    mut objects: Vec<Value>,
) -> Result<(), ScenarioError> {
    objects.sort_by_key(rank);
    let api = Api::new(server.client(client));
    for attempt in 0..ATTEMPTS {
        let mut later = Vec::new();
        let mut refusal = None;
        for object in std::mem::take(&mut objects) {
            match one(server, &api, &object).await {
                Ok(()) => {}
                Err(Refusal::NotYet(reason)) => {
                    refusal = Some((name_of(&object), reason));
                    later.push(object);
                }
                Err(Refusal::Final(reason)) => {
                    return Err(ScenarioError::Refused { object: name_of(&object), reason });
                }
            }
        }
        objects = later;
        match refusal {
            None => return Ok(()),
            Some((object, reason)) if attempt + 1 == ATTEMPTS => {
                return Err(ScenarioError::Refused { object, reason });
            }
            Some(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
    Ok(())
}

enum Refusal {
    NotYet(String),
    Final(String),
}

fn rank(object: &Value) -> u8 {
    match text(object, "/kind") {
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        _ if text(object, "/apiVersion").contains('.') && !text(object, "/apiVersion").contains("k8s.io") => {
            3
        }
        _ => 2,
    }
}

fn name_of(object: &Value) -> String {
    format!("{} {}", text(object, "/kind"), text(object, "/metadata/name"))
}

async fn one(server: &Server, api: &Api, object: &Value) -> Result<(), Refusal> {
    let (version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    let Some(resource) = server.direct("scenario").resource(version, kind) else {
        return Err(Refusal::NotYet(format!("no matches for kind \"{kind}\" in version \"{version}\"")));
    };
    let base = match version.contains('/') {
        true => format!("/apis/{version}"),
        false => format!("/api/{version}"),
    };
    let namespace = match (resource.namespaced, text(object, "/metadata/namespace")) {
        (false, _) => "",
        (true, "") => "default",
        (true, namespace) => namespace,
    };
    let collection = path(&base, namespace, &resource.plural, "");
    match api.create_or_replace(&collection, object).await {
        Ok(()) => Ok(()),
        Err(failure) if failure.is_not_found() || matches!(failure.code(), 403 | 503) => {
            Err(Refusal::NotYet(describe(&failure)))
        }
        Err(failure) => Err(Refusal::Final(describe(&failure))),
    }
}

fn describe(failure: &ApiFailure) -> String {
    failure.to_string()
}

/// Secrets that the manifests' workloads can't start without and that no manifest brings: what
/// documentation asks its reader to make, such as Calico's API server's certificate.
fn expected_secrets(objects: &[Value]) -> Vec<Value> {
    let key = |object: &Value| {
        (text(object, "/metadata/namespace").to_owned(), text(object, "/metadata/name").to_owned())
    };
    let given: BTreeSet<(String, String)> =
        objects.iter().filter(|o| text(o, "/kind") == "Secret").map(key).collect();
    let mut wanted = BTreeSet::new();
    for workload in objects {
        let volumes = workload.pointer("/spec/template/spec/volumes").and_then(Value::as_array);
        for secret in volumes.into_iter().flatten().map(|volume| &volume["secret"]) {
            let name = text(secret, "/secretName");
            let key = (text(workload, "/metadata/namespace").to_owned(), name.to_owned());
            if !name.is_empty() && secret["optional"] != true && !given.contains(&key) {
                wanted.insert(key);
            }
        }
    }
    wanted
        .into_iter()
        .map(|(namespace, name)| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": {"name": name, "namespace": namespace},
                "stringData": {"apiserver.crt": "a certificate", "apiserver.key": "its key"},
            })
        })
        .collect()
}
