//! The run as others see it: the ConfigMap `kube-system/replank-status`, which also carries their requests.

use super::context::Running;
use crate::api::{Api, ApiError, Follow, PatchKind, path};
use replank_planning::journal::{RunPhase, RunState, StepPhase};
use serde_json::{Value, json};
use std::time::Duration;

/// The ConfigMap's place.
pub const NAMESPACE: &str = "kube-system";
/// The ConfigMap's name.
pub const NAME: &str = "replank-status";
/// The key under which someone asks for `pause`.
pub const REQUEST: &str = "request";

/// How often the mirror is written at most: it is for people's eyes.
const AT_MOST_EVERY: Duration = Duration::from_secs(2);
/// How soon requests are looked for again when the API server could not be asked.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Writes the mirror whenever the state has changed; never ends. It is nobody's source of truth: what
/// fails is tried again with the next change.
pub(super) async fn keep(running: &Running) {
    let mut written = None;
    loop {
        let sequence = running.ledger.state(|s| s.sequence);
        if written != Some(sequence) {
            write(running).await;
            written = Some(sequence);
        }
        tokio::time::sleep(AT_MOST_EVERY).await;
    }
}

/// Writes the mirror once.
pub(super) async fn write(running: &Running) {
    if !running.lock.is_held() {
        return;
    }
    let status = running.ledger.state(|state| summary(running, state));
    if let Err(error) = put(&running.world.api(), &json!({"status": status.to_string()})).await {
        tracing::debug!(%error, "the mirror was not written");
    }
}

fn summary(running: &Running, state: &RunState) -> Value {
    let replaced = running
        .plan
        .slots
        .iter()
        .filter(|slot| {
            let mut steps =
                running.plan.steps.iter().filter(|s| s.slot.as_ref() == Some(&slot.id)).peekable();
            steps.peek().is_some()
                && steps.all(|s| state.steps.get(&s.id).is_some_and(|r| r.phase == StepPhase::Succeeded))
        })
        .count();
    let active = running.plan.steps.iter().find_map(|planned| {
        let record = state.steps.get(&planned.id)?;
        (!matches!(record.phase, StepPhase::Succeeded | StepPhase::Undone)).then_some((planned, record))
    });
    let waiting = active.and_then(|(_, r)| r.waiting.clone()).or_else(|| state.waiting.clone());
    json!({
        "run": running.run,
        "holder": running.lock.holder(),
        "epoch": running.lock.epoch(),
        "state": phase(&state.phase),
        "step": active.map(|(p, _)| p.id.clone()),
        "node": active.and_then(|(p, _)| p.slot.clone()),
        "waitingFor": waiting.map(|(w, since)| json!({
            "code": w.code(), "message": w.to_string(), "since": since,
        })),
        "nodes": {"total": running.plan.slots.len(), "replaced": replaced},
    })
}

fn phase(phase: &RunPhase) -> &'static str {
    match phase {
        RunPhase::New => "new",
        RunPhase::Running => "running",
        RunPhase::Paused { .. } => "paused",
        RunPhase::Finished => "finished",
        RunPhase::RolledBack => "rolledBack",
        RunPhase::Finalized => "finalized",
    }
}

async fn put(api: &Api, data: &Value) -> Result<(), ApiError> {
    let at = path::core(NAMESPACE, "configmaps", NAME);
    match api.patch(&at, PatchKind::Merge, &json!({"data": data})).await {
        Err(error) if error.is_not_found() => {
            let map = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": NAME, "namespace": NAMESPACE}, "data": data,
            });
            api.create(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps"), &map).await
        }
        answer => answer,
    }
    .map(drop)
}

/// Asks the run that works on this cluster, wherever it is, to pause; `None` takes the request back.
///
/// # Errors
/// As the server said.
pub async fn request(api: &Api, what: Option<&str>) -> Result<(), ApiError> {
    put(api, &json!({REQUEST: what})).await
}

/// The mirror's status, if some run has written one.
///
/// # Errors
/// As the server said.
pub async fn read(api: &Api) -> Result<Option<Value>, ApiError> {
    let map = api.find(&path::core(NAMESPACE, "configmaps", NAME)).await?;
    Ok(map.and_then(|m| serde_json::from_str(m["data"]["status"].as_str()?).ok()))
}

/// Returns once somebody asks for a pause through the mirror; takes the request off it.
pub(super) async fn asked_to_pause(running: &Running) -> String {
    let api = running.world.api();
    let collection = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let mut follow = Follow::new(api.clone(), &collection, &path::fields(&format!("metadata.name={NAME}")));
    loop {
        if follow.advance().await.is_err() {
            tokio::time::sleep(ASK_AGAIN).await;
            continue;
        }
        let asked = follow.get(NAMESPACE, NAME).is_some_and(|m| m["data"][REQUEST] == "pause");
        if asked {
            if let Err(error) = request(&api, None).await {
                tracing::debug!(%error, "the request to pause was not taken off the mirror");
            }
            return "the cluster's mirror".to_owned();
        }
    }
}
