//! The bootstrap token. Its public id derives from the operation, its secret half is random and lives in
//! its Secret only: whoever asks again reads it back.

use crate::api::{Api, ApiError, path};
use crate::clock::seconds;
use crate::engine::{StepContext, StepError};
use crate::guards::Guard;
use crate::steps::support::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use replank_cloud_init::Secret;
use replank_planning::canonical;
use replank_planning::ids::SlotId;
use replank_planning::late::Learned;
use serde_json::{Value, json};

/// How long a token lives: a boot and a join, for which a machine has less time. User-data may be read by others on
/// the machine's network, so no longer.
const LIFE: SignedDuration = SignedDuration::from_mins(30);
/// A token with less life than this left, when another machine is ordered, is given more.
const FRESH: SignedDuration = SignedDuration::from_mins(29);
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The token of a slot: the one that is there, or a new one.
///
/// # Errors
/// When it can't be made or read.
pub async fn ensure(cx: &StepContext<'_>, slot: &SlotId) -> Result<Secret, StepError> {
    let id = public_id(cx);
    if cx.holds(Guard::NoSecretWritten) {
        cx.learn(Learned::Token { slot: slot.clone(), id: id.clone() })?;
    }
    let at = place(&id);
    let secret = match cx.find(&at).await? {
        Some(secret) => secret,
        None => {
            let body = document(&id, &random(cx)?, &expiry(cx));
            match cx.create("/api/v1/namespaces/kube-system/secrets", &body).await? {
                Ok(made) => made,
                Err(error) if error.is_already_there() => {
                    cx.find(&at).await?.ok_or_else(|| StepError::Failed(format!("{at} came and went")))?
                }
                Err(error) => return Err(StepError::server("create a bootstrap token", &error)),
            }
        }
    };
    let expires: Option<Timestamp> = field(&secret, "expiration").parse().ok();
    let now = cx.running.world.clock.now();
    if expires.is_none_or(|at| at.duration_since(now) < FRESH) {
        let expiration = STANDARD.encode(expiry(cx));
        cx.edit(&at, None, |_| Ok(Some(json!({"data": {"expiration": expiration}})))).await?;
    }
    let token = format!("{id}.{}", field(&secret, "token-secret"));
    if !cx.holds(Guard::NoSecretWritten) {
        // What the guard keeps us from: the whole token in the journal.
        cx.learn(Learned::Token { slot: slot.clone(), id: token.clone() })?;
    }
    Ok(Secret::new(token))
}

/// Deletes the token of a slot, if it had one.
///
/// # Errors
/// When the server refuses.
pub async fn delete(cx: &StepContext<'_>, slot: &SlotId) -> Result<(), StepError> {
    let known = cx.running.ledger.state(|s| s.slots.get(slot).and_then(|f| f.token.clone()));
    let Some(id) = known else { return Ok(()) };
    let at = place(id.split('.').next().unwrap_or_default());
    match cx.find(&at).await? {
        Some(secret) => cx.delete(&at, text(&secret, "/metadata/uid")).await,
        None => Ok(()),
    }
}

/// The token of a public id, if it still lives.
///
/// # Errors
/// When the server refuses.
pub async fn whole(api: &Api, id: &str) -> Result<Option<Secret>, ApiError> {
    let found = api.find(&place(id)).await?;
    Ok(found.map(|secret| Secret::new(format!("{id}.{}", field(&secret, "token-secret")))))
}

fn place(id: &str) -> String {
    path::core("kube-system", "secrets", &format!("bootstrap-token-{id}"))
}

/// Six letters out of the operation's digest.
fn public_id(cx: &StepContext<'_>) -> String {
    let name = format!("{}/{}/{}", cx.running.cluster, cx.running.run, cx.step.id);
    let digest = canonical::digest_bytes(name.as_bytes());
    digest.as_str().bytes().take(6).map(|b| char::from(LETTERS[usize::from(b) % LETTERS.len()])).collect()
}

fn random(cx: &StepContext<'_>) -> Result<String, StepError> {
    let mut text = String::new();
    let mut buffer = [0_u8; 64];
    while text.len() < 16 {
        cx.running
            .world
            .entropy
            .fill(&mut buffer)
            .map_err(|e| StepError::Failed(format!("there is no source of random bytes: {e}")))?;
        // Bytes beyond the last whole multiple would make some letters likelier.
        let fair = buffer.iter().filter(|b| usize::from(**b) < 256 / LETTERS.len() * LETTERS.len());
        text.extend(fair.map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()])));
    }
    text.truncate(16);
    Ok(text)
}

fn expiry(cx: &StepContext<'_>) -> String {
    seconds(cx.running.world.clock.now().checked_add(LIFE).unwrap_or(Timestamp::MAX))
}

fn document(id: &str, secret: &str, expiration: &str) -> Value {
    let data = |text: &str| json!(STANDARD.encode(text));
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "data": {
            "token-id": data(id),
            "token-secret": data(secret),
            "expiration": data(expiration),
            "usage-bootstrap-authentication": data("true"),
            "usage-bootstrap-signing": data("true"),
            "auth-extra-groups": data("system:bootstrappers:kubeadm:default-node-token"),
            "description": data("made by replank for one replacement"),
        },
    })
}

fn field(secret: &Value, key: &str) -> String {
    let bytes = STANDARD.decode(secret["data"][key].as_str().unwrap_or_default()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
