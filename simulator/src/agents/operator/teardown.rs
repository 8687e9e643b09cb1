//! Taking Calico down: what needs the pod network goes before what makes it.

use serde_json::{Value, json};

use super::objects::{PROTECTOR, Part};
use super::{GROUP, SYSTEM};
use crate::machines::api::{Api, ApiFailure, core, path, text};

/// What the operator's main controller keeps the Installation by.
pub(super) const OWN_FINALIZERS: [&str; 2] =
    ["tigera.io/operator-cleanup", "operator.tigera.io/installation-controller"];

/// How far the teardown is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Waits for this.
    Waiting(String),
    /// The Installation may go.
    Done,
}

fn waiting(what: &str) -> Progress {
    Progress::Waiting(what.to_owned())
}

/// Takes the finalizers away from an object.
pub(super) async fn release(api: &Api, path: &str, names: &[&str]) -> Result<(), ApiFailure> {
    let Some(mut object) = api.find(path).await? else { return Ok(()) };
    let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() else { return Ok(()) };
    let before = finalizers.len();
    finalizers.retain(|finalizer| !names.iter().any(|name| finalizer == name));
    if finalizers.len() == before {
        return Ok(());
    }
    match api.update(path, &object).await {
        Err(failure) if failure.is_not_found() || failure.is_conflict() => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Deletes a workload; `true` once it and its pods are gone.
async fn gone(api: &Api, plural: &str, namespace: &str, name: &str) -> Result<bool, ApiFailure> {
    let path = path("/apis/apps/v1", namespace, plural, name);
    if let Some(object) = api.find(&path).await? {
        if object["metadata"]["deletionTimestamp"].is_null() {
            let options = json!({"propagationPolicy": "Background", "preconditions": {"uid": text(&object, "/metadata/uid")}});
            api.delete(&path, &options).await?;
        }
        return Ok(false);
    }
    let (pods, _) = api.list(&core(namespace, "pods", "")).await?;
    Ok(!pods.iter().any(|pod| pod["metadata"]["labels"]["k8s-app"] == name))
}

/// Takes an optional part down, and lets the Installation go as far as that part is concerned.
pub(super) async fn part(api: &Api, part: Part, installation: &Value) -> Result<bool, ApiFailure> {
    let finalizers = installation["metadata"]["finalizers"].as_array().into_iter().flatten();
    let held = finalizers.into_iter().any(|finalizer| finalizer == part.finalizer());
    if !held {
        return Ok(true);
    }
    let (namespace, name) = part.deployment();
    if !gone(api, "deployments", namespace, name).await? {
        return Ok(false);
    }
    let installation = format!("{GROUP}/installations/{}", text(installation, "/metadata/name"));
    release(api, &installation, &[part.finalizer()]).await?;
    Ok(true)
}

/// Takes Calico down for an Installation that is being deleted.
pub(super) async fn calico(api: &Api, installation: &Value) -> Result<Progress, ApiFailure> {
    for one in Part::ALL {
        if !part(api, one, installation).await? {
            return Ok(waiting(one.status()));
        }
    }
    let finalizers = installation["metadata"]["finalizers"].as_array().into_iter().flatten();
    let parts = Part::ALL.map(Part::finalizer);
    let others = finalizers.filter_map(Value::as_str);
    if let Some(other) =
        others.into_iter().find(|name| !OWN_FINALIZERS.contains(name) && !parts.contains(name))
    {
        return Ok(waiting(&format!("finalizer {other}")));
    }
    let controllers = gone(api, "deployments", SYSTEM, "calico-kube-controllers").await?;
    let driver = gone(api, "daemonsets", SYSTEM, "csi-node-driver").await?;
    if !(controllers && driver) {
        return Ok(waiting("pods that need the network to end"));
    }
    let node = gone(api, "daemonsets", SYSTEM, "calico-node").await?;
    let typha = gone(api, "deployments", SYSTEM, "calico-typha").await?;
    if !(node && typha) {
        return Ok(waiting("calico-node"));
    }
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    for name in ["calico-node", "calico-cni-plugin"] {
        release(api, &core(SYSTEM, "serviceaccounts", name), &[PROTECTOR]).await?;
        release(api, &format!("{rbac}/clusterroles/{name}"), &[PROTECTOR]).await?;
        release(api, &format!("{rbac}/clusterrolebindings/{name}"), &[PROTECTOR]).await?;
    }
    let path = format!("{GROUP}/installations/{}", text(installation, "/metadata/name"));
    release(api, &path, &OWN_FINALIZERS).await?;
    Ok(Progress::Done)
}
