//! Every request that was answered: to count, to print, and to see who changed what.

use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

/// How many requests are kept in full; counts go on beyond.
const KEPT: usize = 500_000;

/// One answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it came, by the simulator's clock.
    pub at: Timestamp,
    /// The first word of its User-Agent.
    pub client: Arc<str>,
    /// The API verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// `plural` or `plural.group`, with `/subresource`; empty for other paths.
    pub resource: Arc<str>,
    /// Path and query.
    pub url: String,
    /// The HTTP status answered.
    pub status: u16,
}

impl Request {
    /// Whether it asked for a change (a dry run too).
    pub fn is_write(&self) -> bool {
        !["get", "list", "watch"].contains(&self.verb)
    }
}

/// What requests are counted by: client, verb and resource.
pub type Counted = (Arc<str>, &'static str, Arc<str>);

#[derive(Default)]
struct Inner {
    requests: Vec<Request>,
    counts: BTreeMap<Counted, u64>,
    writer: Option<Box<dyn Write + Send>>,
}

/// The log of requests; cheap to clone.
#[derive(Clone, Default)]
pub struct RequestLog(Arc<Mutex<Inner>>);

impl RequestLog {
    pub(crate) fn record(&self, request: Request) {
        let mut inner = self.0.lock().expect("the request log's lock is never poisoned");
        let key = (request.client.clone(), request.verb, request.resource.clone());
        *inner.counts.entry(key).or_default() += 1;
        if let Some(writer) = &mut inner.writer {
            let line = json!({
                "time": crate::clock::rfc3339_micro(request.at), "client": &*request.client, "verb": request.verb,
                "resource": &*request.resource, "url": request.url, "status": request.status,
            });
            if writeln!(writer, "{line}").and_then(|()| writer.flush()).is_err() {
                tracing::warn!("the request record can't be written; recording ends");
                inner.writer = None;
            }
        }
        if inner.requests.len() < KEPT {
            inner.requests.push(request);
        }
    }

    /// Writes every request from now on as a line of JSON.
    pub fn record_to(&self, writer: Box<dyn Write + Send>) {
        self.0.lock().expect("the request log's lock is never poisoned").writer = Some(writer);
    }

    /// The requests so far that satisfy `wanted`, oldest first.
    pub fn select(&self, wanted: impl Fn(&Request) -> bool) -> Vec<Request> {
        let inner = self.0.lock().expect("the request log's lock is never poisoned");
        inner.requests.iter().filter(|request| wanted(request)).cloned().collect()
    }

    /// How many requests so far satisfy `wanted`.
    pub fn count(&self, wanted: impl Fn(&Request) -> bool) -> usize {
        let inner = self.0.lock().expect("the request log's lock is never poisoned");
        inner.requests.iter().filter(|request| wanted(request)).count()
    }

    /// How many requests there were, by client, verb and resource.
    pub fn counts(&self) -> BTreeMap<Counted, u64> {
        self.0.lock().expect("the request log's lock is never poisoned").counts.clone()
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        let mut inner = self.0.lock().expect("the request log's lock is never poisoned");
        inner.requests.clear();
        inner.counts.clear();
    }
}
