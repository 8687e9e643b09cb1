//! TigeraStatus, and the status of the custom resources.

use serde_json::{Value, json};

use super::GROUP;
use crate::clock::Clock;
use crate::machines::api::{Api, ApiFailure, Patch, path, text};

/// How a component fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// All of it runs.
    Available,
    /// Some of it does not run yet.
    Progressing(String),
    /// The operator can't go on.
    Degraded(String),
}

/// Whether workloads run as they should; the first that doesn't is named.
pub(super) async fn of(api: &Api, workloads: &[(&str, &str, &str)]) -> Result<Health, ApiFailure> {
    for (plural, namespace, name) in workloads {
        let found = api.find(&path("/apis/apps/v1", namespace, plural, name)).await?;
        let Some(object) = found else {
            return Ok(Health::Progressing(format!("Waiting for {namespace}/{name} to be created")));
        };
        let status = &object["status"];
        let number = |value: &Value| value.as_i64().unwrap_or(0);
        let generation = number(&object["metadata"]["generation"]);
        let (wanted, ready) = match *plural {
            "daemonsets" => (status["desiredNumberScheduled"].as_i64(), number(&status["numberReady"])),
            _ => (object["spec"]["replicas"].as_i64(), number(&status["readyReplicas"])),
        };
        if number(&status["observedGeneration"]) < generation || wanted.is_none_or(|wanted| ready < wanted) {
            let wanted = wanted.unwrap_or(0);
            return Ok(Health::Progressing(format!(
                "\"{namespace}/{name}\" is not available (awaiting {} nodes or replicas)",
                wanted - ready
            )));
        }
    }
    Ok(Health::Available)
}

/// The conditions that say this, with the times of those that stay.
fn conditions(health: &Health, before: &Value, generation: &Value, clock: &Clock, ready: &str) -> Value {
    let all = "All objects available";
    let none = "Not Applicable";
    let rows = match health {
        Health::Available => [
            (ready, "True", "AllObjectsAvailable", all),
            ("Progressing", "False", "NotApplicable", none),
            ("Degraded", "False", "NotApplicable", none),
        ],
        Health::Progressing(message) => [
            (ready, "False", "NotApplicable", none),
            ("Progressing", "True", "ResourceNotReady", message),
            ("Degraded", "False", "NotApplicable", none),
        ],
        Health::Degraded(message) => [
            (ready, "False", "NotApplicable", none),
            ("Progressing", "False", "NotApplicable", none),
            ("Degraded", "True", "ResourceValidationError", message),
        ],
    };
    let known = before["conditions"].as_array();
    rows.iter()
        .map(|(kind, status, reason, message)| {
            let known = known.into_iter().flatten().find(|condition| condition["type"] == *kind);
            let since = known.filter(|condition| condition["status"] == *status);
            let since = since.and_then(|condition| condition["lastTransitionTime"].as_str());
            let since = since.map_or_else(|| clock.now_rfc3339(), str::to_owned);
            json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": since, "observedGeneration": generation,
            })
        })
        .collect()
}

async fn write(api: &Api, path: &str, actual: &Value, status: Value) -> Result<(), ApiFailure> {
    let before = &actual["status"];
    let fields = status.as_object().into_iter().flatten();
    if fields.into_iter().all(|(key, value)| before[key] == *value) {
        return Ok(());
    }
    api.patch(&format!("{path}/status"), Patch::Merge, &json!({"status": status})).await
}

/// Writes a component's TigeraStatus.
pub(super) async fn report(
    api: &Api,
    clock: &Clock,
    name: &str,
    generation: &Value,
    health: &Health,
) -> Result<(), ApiFailure> {
    let path = format!("{GROUP}/tigerastatuses/{name}");
    let mut actual = api.find(&path).await?;
    if actual.is_none() {
        let object = json!({
            "apiVersion": "operator.tigera.io/v1", "kind": "TigeraStatus", "metadata": {"name": name}, "spec": {},
        });
        api.ensure(&format!("{GROUP}/tigerastatuses"), &object).await?;
        actual = Some(object);
    }
    let actual = actual.unwrap_or_default();
    let conditions = conditions(health, &actual["status"], generation, clock, "Available");
    write(api, &path, &actual, json!({"conditions": conditions})).await
}

/// Writes the status of a custom resource, with more fields if there are any.
pub(super) async fn report_on(
    api: &Api,
    clock: &Clock,
    path: &str,
    resource: &Value,
    health: &Health,
    more: Value,
) -> Result<(), ApiFailure> {
    let generation = &resource["metadata"]["generation"];
    let mut status =
        json!({"conditions": conditions(health, &resource["status"], generation, clock, "Ready")});
    for (key, value) in more.as_object().into_iter().flatten() {
        status[key] = value.clone();
    }
    write(api, path, resource, status).await
}

/// Removes the TigeraStatus of a component that is gone.
pub(super) async fn forget(api: &Api, name: &str) -> Result<(), ApiFailure> {
    let path = format!("{GROUP}/tigerastatuses/{name}");
    match api.find(&path).await? {
        Some(object) => {
            api.delete(&path, &json!({"preconditions": {"uid": text(&object, "/metadata/uid")}})).await
        }
        None => Ok(()),
    }
}
