//! Pods: what admission needs other objects for, and their grace.

use crate::schema::builtin;
use crate::server::object::{child, name_of, namespace_of, text};
use crate::server::options::DeleteOptions;
use crate::server::state::State;
use crate::server::status::Status;
use serde_json::{Value, json};

/// The grace a pod has when it doesn't say.
const DEFAULT_GRACE: i64 = 30;

/// What admission needs other objects for; the rest is the schema's defaults.
pub(super) fn prepare_create(state: &State, pod: &mut Value) -> Result<(), Status> {
    priority(state, pod)?;
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_none() {
        service_account(state, pod)?;
    }
    Ok(())
}

/// The Priority admission plugin.
fn priority(state: &State, pod: &mut Value) -> Result<(), Status> {
    let class = text(pod, "/spec/priorityClassName").to_owned();
    let name = name_of(pod).to_owned();
    let (value, policy) = if class.is_empty() {
        (json!(0), None)
    } else {
        let Some(found) = state.store.get(&builtin::PRIORITY_CLASSES, "", &class) else {
            let why = format!("no PriorityClass with name {class} was found");
            return Err(Status::forbidden(&builtin::PODS, &name, &why));
        };
        (found.object["value"].clone(), found.object.get("preemptionPolicy").cloned())
    };
    let spec = child(pod, "spec");
    spec.insert("priority".into(), value);
    if let Some(policy) = policy {
        spec.insert("preemptionPolicy".into(), policy);
    }
    Ok(())
}

/// The ServiceAccount admission plugin: the account exists, and its token is mounted.
fn service_account(state: &State, pod: &mut Value) -> Result<(), Status> {
    let spec = child(pod, "spec");
    let named = spec
        .get("serviceAccountName")
        .or_else(|| spec.get("serviceAccount"))
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())
        .unwrap_or("default")
        .to_owned();
    spec.insert("serviceAccountName".into(), json!(named));
    spec.insert("serviceAccount".into(), json!(named));
    let namespace = namespace_of(pod).to_owned();
    let Some(account) = state.store.get(&builtin::SERVICE_ACCOUNTS, &namespace, &named) else {
        let why = format!(
            "error looking up service account {namespace}/{named}: serviceaccount \"{named}\" not found"
        );
        return Err(Status::forbidden(&builtin::PODS, name_of(pod), &why));
    };
    if pod.pointer("/spec/automountServiceAccountToken").is_none()
        && account.object["automountServiceAccountToken"] == false
    {
        child(pod, "spec").insert("automountServiceAccountToken".into(), json!(false));
    }
    Ok(())
}

/// Pods that run nowhere or have ended need no grace.
pub(super) fn grace(pod: &Value, options: &DeleteOptions) -> i64 {
    let ended = ["Succeeded", "Failed"].contains(&text(pod, "/status/phase"));
    if text(pod, "/spec/nodeName").is_empty() || ended {
        return 0;
    }
    let own = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    let grace = options.grace_period.unwrap_or_else(|| own.unwrap_or(DEFAULT_GRACE));
    // A negative grace is a short one, not none.
    if grace < 0 { 1 } else { grace }
}
