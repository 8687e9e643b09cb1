//! Taking Calico down: what needs the pod network goes before what makes it.
//!
//! Every part of the operator keeps the Installation by a finalizer of its own. The optional parts
//! give theirs back only when their custom resource is gone: an Installation that is deleted
//! alone waits for ever.

use serde_json::{Value, json};

use super::objects::{PROTECTOR, Part};
use super::{GROUP, SYSTEM};
use crate::machines::api::{Api, ApiFailure, core, path, text};

const CLEANUP: &str = "tigera.io/operator-cleanup";
const CORE: &str = "operator.tigera.io/installation-controller";

/// What the operator's main controller keeps the Installation by.
pub(super) const OWN_FINALIZERS: [&str; 2] = [CLEANUP, CORE];

/// Takes finalizers away from an object.
async fn release(api: &Api, path: &str, names: &[&str]) -> Result<(), ApiFailure> {
    let Some(mut object) = api.find(path).await? else { return Ok(()) };
    let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() else { return Ok(()) };
    let before = finalizers.len();
    finalizers.retain(|finalizer| !names.iter().any(|name| finalizer == name));
    if finalizers.len() == before {
        return Ok(());
    }
    match api.update(path, &object).await {
        // Somebody else wrote first: the change brings the operator back here.
        Err(failure) if failure.is_not_found() || failure.is_conflict() => Ok(()),
        other => other.map(|_| ()),
    }
}

fn installation_path(installation: &Value) -> String {
    format!("{GROUP}/installations/{}", text(installation, "/metadata/name"))
}

fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn workload(plural: &str, name: &str) -> String {
    path("/apis/apps/v1", SYSTEM, plural, name)
}

/// Deletes an object that nobody deletes yet.
async fn delete(api: &Api, path: &str) -> Result<(), ApiFailure> {
    match api.find(path).await? {
        Some(object) if object["metadata"]["deletionTimestamp"].is_null() => {
            let uid = &object["metadata"]["uid"];
            api.delete(path, &json!({"propagationPolicy": "Background", "preconditions": {"uid": uid}})).await
        }
        _ => Ok(()),
    }
}

/// A part whose custom resource is gone: once the garbage collector has taken its Deployment, the
/// Installation may go as far as that part is concerned.
pub(super) async fn part(api: &Api, part: Part, installation: &Value) -> Result<(), ApiFailure> {
    if finalizers(installation).all(|finalizer| finalizer != part.finalizer()) {
        return Ok(());
    }
    let (namespace, name) = part.deployment();
    match api.find(&path("/apis/apps/v1", namespace, "deployments", name)).await? {
        Some(_) => Ok(()),
        None => release(api, &installation_path(installation), &[part.finalizer()]).await,
    }
}

/// The paths of what CNI DEL needs.
fn protected() -> Vec<String> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    ["calico-node", "calico-cni-plugin"]
        .into_iter()
        .flat_map(|name| {
            [
                core(SYSTEM, "serviceaccounts", name),
                format!("{rbac}/clusterroles/{name}"),
                format!("{rbac}/clusterrolebindings/{name}"),
            ]
        })
        .collect()
}

/// Lets go of protected objects that somebody deleted while the Installation stays, so that they
/// can be made anew.
pub(super) async fn unblock(api: &Api) -> Result<(), ApiFailure> {
    for path in protected() {
        let found = api.find(&path).await?;
        if found.is_some_and(|object| !object["metadata"]["deletionTimestamp"].is_null()) {
            release(api, &path, &[PROTECTOR]).await?;
        }
    }
    Ok(())
}

/// Gives back the main controller's finalizers, as far as what they stand for is gone.
pub(super) async fn release_own(api: &Api, installation: &Value) -> Result<(), ApiFailure> {
    let path = installation_path(installation);
    if api.find(&workload("deployments", "calico-kube-controllers")).await?.is_none() {
        release(api, &path, &[CORE]).await?;
    }
    let binding = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/calico-node";
    let binding = api.find(binding).await?.unwrap_or_default();
    if finalizers(&binding).all(|finalizer| finalizer != PROTECTOR) {
        release(api, &path, &[CLEANUP]).await?;
    }
    Ok(())
}

/// Takes Calico down for an Installation that is being deleted: what runs in pods of the pod
/// network at once, the rest when no other part holds the Installation any more.
pub(super) async fn calico(api: &Api, installation: &Value) -> Result<(), ApiFailure> {
    delete(api, &workload("deployments", "calico-kube-controllers")).await?;
    delete(api, &workload("daemonsets", "csi-node-driver")).await?;
    if let Some(other) = finalizers(installation).find(|finalizer| *finalizer != CLEANUP) {
        tracing::debug!("tigera-operator waits for finalizer {other}");
        return Ok(());
    }
    for path in protected() {
        release(api, &path, &[PROTECTOR]).await?;
    }
    delete(api, &core(SYSTEM, "configmaps", "cni-config")).await?;
    delete(api, &workload("daemonsets", "calico-node")).await
}
