//! The run as others see it: the ConfigMap `kube-system/replank-status`, which also carries their requests.

use super::context::Running;
use crate::api::{Api, ApiError, Follow, PatchKind, path};
use replank_planning::ids::{Epoch, RunId};
use replank_planning::journal::Status;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// The ConfigMap's place.
pub const NAMESPACE: &str = "kube-system";
/// The ConfigMap's name.
pub const NAME: &str = "replank-status";
/// The key under which someone asks for something.
const REQUEST: &str = "request";

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
    let mirrored = Mirrored {
        run: running.run.clone(),
        holder: running.lock.holder().to_owned(),
        epoch: running.lock.epoch(),
        status: running.ledger.state(|state| Status::of(&running.plan, state)),
    };
    let written = match serde_json::to_string(&mirrored) {
        Ok(text) => put(&running.world.api(), &json!({"status": text})).await.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = written {
        tracing::debug!(error, "the mirror was not written");
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

/// What someone elsewhere may ask of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To pause at the next safe point.
    Pause,
    /// To go on, asked of a process that waits after a [`Request::Pause`].
    Resume,
}

impl Request {
    fn word(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

/// The run as the mirror shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirrored {
    /// Which run.
    pub run: RunId,
    /// Who carries it out: a machine and a run directory.
    pub holder: String,
    /// Under which epoch.
    pub epoch: Epoch,
    /// Where it stands.
    #[serde(flatten)]
    pub status: Status,
}

/// Asks the run that works on this cluster, wherever it is; `None` takes every request back.
///
/// # Errors
/// As the server said.
pub async fn request(api: &Api, what: Option<Request>) -> Result<(), ApiError> {
    put(api, &json!({REQUEST: what.map(Request::word)})).await
}

/// The run that last worked on this cluster, if one has.
///
/// # Errors
/// As the server said.
pub async fn read(api: &Api) -> Result<Option<Mirrored>, ApiError> {
    let map = api.find(&path::core(NAMESPACE, "configmaps", NAME)).await?;
    Ok(map.and_then(|m| serde_json::from_str(m["data"]["status"].as_str()?).ok()))
}

/// Returns once a request is no longer on the mirror: some process has taken it off.
pub async fn taken(api: &Api, what: Request) {
    follow(api, |word| word != Some(what.word())).await;
}

/// Returns once somebody asks for this through the mirror; takes the request off it.
pub async fn asked(api: &Api, what: Request) {
    follow(api, |word| word == Some(what.word())).await;
    if let Err(error) = request(api, None).await {
        tracing::debug!(%error, "the request was not taken off the mirror");
    }
}

/// Who is named where a pause was asked for through the mirror.
pub const BY: &str = "the cluster's mirror";

/// Watches the request until it is as wanted.
async fn follow(api: &Api, wanted: impl Fn(Option<&str>) -> bool) {
    let collection = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let mut follow = Follow::new(api.clone(), &collection, &path::fields(&format!("metadata.name={NAME}")));
    loop {
        if follow.advance().await.is_err() {
            tokio::time::sleep(ASK_AGAIN).await;
            continue;
        }
        let map = follow.get(NAMESPACE, NAME);
        if wanted(map.and_then(|m| m["data"][REQUEST].as_str())) {
            return;
        }
    }
}
