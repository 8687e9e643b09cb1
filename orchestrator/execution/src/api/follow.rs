//! A collection kept up to date by a watch: waiting reacts to changes instead of asking again.

use super::{Api, ApiError};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, BoxStream, Stream};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The first pause after a watch that ended without a single event; doubles up to [`LONGEST_PAUSE`].
/// A server that closes every watch at once must not be asked in a tight loop.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A watch that lasts so long after an error is one: a connection may break after it was taken.
const SETTLED: Duration = Duration::from_secs(1);
/// A watch that says nothing for so long is opened anew: its peer may have gone without a word. Bookmarks are asked
/// for, and an API server sends one about each minute; one that sends none only has its watches opened more often.
const SILENT: Duration = Duration::from_secs(150);

/// Some objects of one kind, as they are now.
pub struct Follow {
    api: Api,
    path: String,
    query: String,
    items: BTreeMap<String, Value>,
    version: String,
    stream: Option<BoxStream<'static, Result<Value, ApiError>>>,
    pause: Duration,
    /// Until when the present pause lasts: whoever stops waiting in between does not begin it anew.
    pauses_until: Option<Instant>,
    idle: bool,
    /// The server could not be asked when it was last tried.
    troubled: bool,
    settles_at: Option<Instant>,
    /// When the watch last said something.
    heard: Instant,
}

impl Follow {
    /// Follows a collection. Nothing is known before the first [`Follow::advance`].
    pub fn new(api: Api, path: &str, query: &str) -> Self {
        Self {
            api,
            path: path.to_owned(),
            query: query.to_owned(),
            items: BTreeMap::new(),
            version: String::new(),
            stream: None,
            pause: FIRST_PAUSE,
            pauses_until: None,
            idle: false,
            troubled: false,
            settles_at: None,
            heard: Instant::now(),
        }
    }

    /// The objects, in order of namespace and name.
    pub fn items(&self) -> impl Iterator<Item = &Value> {
        self.items.values()
    }

    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Value> {
        self.items.get(&format!("{namespace}/{name}"))
    }

    /// Waits for the next change: `true` if the objects may differ now, and when the server answers again
    /// after an error: whoever said that it waits for the server has something else to say then. Dropping
    /// the future loses nothing.
    ///
    /// # Errors
    /// When the server refuses or can't be asked; calling again goes on from where it was.
    pub async fn advance(&mut self) -> Result<bool, ApiError> {
        if self.version.is_empty() {
            let (items, version) = self.api.list(&self.path, &self.query).await?;
            self.items = items.into_iter().map(|item| (key(&item), item)).collect();
            self.version = version;
            self.stream = None;
            self.troubled = false;
            return Ok(true);
        }
        if self.stream.is_none() {
            if self.idle {
                let pause = self.pause;
                tokio::time::sleep_until(*self.pauses_until.get_or_insert_with(|| Instant::now() + pause))
                    .await;
            }
            let opened = self.api.watch(&self.path, &self.query, &self.version).await;
            if self.pauses_until.take().is_some() {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
            match opened {
                Ok(stream) => {
                    self.idle = true;
                    self.stream = Some(stream);
                    self.heard = Instant::now();
                    self.settles_at = self.troubled.then(|| Instant::now() + SETTLED);
                }
                Err(error) => return self.failed(error),
            }
        }
        let Some(stream) = self.stream.as_mut() else { return Ok(false) };
        let settled = async {
            match self.settles_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let next = tokio::select! {
            biased;
            next = stream.next() => next,
            () = settled => {
                self.settles_at = None;
                self.troubled = false;
                return Ok(true);
            }
            () = tokio::time::sleep_until(self.heard + SILENT) => {
                self.stream = None;
                return Ok(false);
            }
        };
        self.heard = Instant::now();
        match next {
            None => {
                self.stream = None;
                Ok(false)
            }
            Some(Err(error)) => {
                self.stream = None;
                self.failed(error)
            }
            Some(Ok(event)) => {
                self.settles_at = None;
                let again = std::mem::take(&mut self.troubled);
                Ok(self.take(event) || again)
            }
        }
    }

    fn failed(&mut self, error: ApiError) -> Result<bool, ApiError> {
        if error.code == 410 {
            // What happened in between is lost: look at everything again.
            self.version.clear();
            return Ok(false);
        }
        self.troubled = true;
        Err(error)
    }

    fn take(&mut self, mut event: Value) -> bool {
        self.idle = false;
        self.pause = FIRST_PAUSE;
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        let object = event["object"].take();
        if kind == "ERROR" {
            self.stream = None;
            // 410 is the usual one; any other is safe to answer with a fresh list too.
            self.version.clear();
            return false;
        }
        if let Some(version) = object.pointer("/metadata/resourceVersion").and_then(Value::as_str) {
            version.clone_into(&mut self.version);
        }
        match kind.as_str() {
            "ADDED" | "MODIFIED" => {
                self.items.insert(key(&object), object);
                true
            }
            "DELETED" => {
                self.items.remove(&key(&object));
                true
            }
            _ => false,
        }
    }
}

fn key(object: &Value) -> String {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

/// A body as JSON documents, one a line. A last line that is cut off is no document.
pub(super) fn lines(body: Body) -> impl Stream<Item = Result<Value, ApiError>> + Send + 'static {
    stream::unfold(
        (body.into_data_stream(), BytesMut::new(), false),
        |(mut body, mut buffer, over)| async move {
            if over {
                return None;
            }
            loop {
                if let Some(line) = cut_line(&mut buffer) {
                    let parsed = serde_json::from_slice(&line)
                        .map_err(|_| ApiError::unanswered("a watch event is not JSON"));
                    let over = parsed.is_err();
                    return Some((parsed, (body, buffer, over)));
                }
                match body.next().await {
                    Some(Ok(bytes)) => buffer.extend_from_slice(&bytes),
                    Some(Err(error)) => {
                        let error = ApiError::unanswered(&format!("a watch broke: {error}"));
                        return Some((Err(error), (body, buffer, true)));
                    }
                    None => return None,
                }
            }
        },
    )
}

fn cut_line(buffer: &mut BytesMut) -> Option<Bytes> {
    loop {
        let at = buffer.iter().position(|b| *b == b'\n')?;
        let line = buffer.split_to(at + 1).freeze();
        if !line.trim_ascii().is_empty() {
            return Some(line);
        }
    }
}
