//! Every request that was answered: to count, to print, and to see who changed what.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// How many of the last requests are kept in full; counts go on beyond.
const KEPT: usize = 500_000;
/// How many different clients, verbs and resources are told apart when requests are counted: whoever asks
/// names itself, and a server that runs for months must not keep every name.
const COUNTED: usize = 10_000;

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

    fn json(&self) -> Value {
        json!({
            "time": crate::clock::rfc3339_micro(self.at), "client": &*self.client, "verb": self.verb,
            "resource": &*self.resource, "url": self.url, "status": self.status,
        })
    }
}

/// What requests are counted by: client, verb and resource.
pub type Counted = (Arc<str>, &'static str, Arc<str>);

struct Inner {
    requests: VecDeque<Request>,
    keep: usize,
    counts: BTreeMap<Counted, u64>,
    writer: Option<Box<dyn Write + Send>>,
}

impl Default for Inner {
    fn default() -> Self {
        Self { requests: VecDeque::new(), keep: KEPT, counts: BTreeMap::new(), writer: None }
    }
}

impl Inner {
    fn count(&mut self, request: &Request) {
        let key = (request.client.clone(), request.verb, request.resource.clone());
        let known = self.counts.len() < COUNTED || self.counts.contains_key(&key);
        let key = if known { key } else { ("others".into(), request.verb, "".into()) };
        *self.counts.entry(key).or_default() += 1;
    }

    fn trim(&mut self) {
        while self.requests.len() > self.keep {
            self.requests.pop_front();
        }
    }
}

/// The log of requests; cheap to clone.
#[derive(Clone, Default)]
pub struct RequestLog(Arc<Mutex<Inner>>);

impl RequestLog {
    pub(crate) fn record(&self, request: Request) {
        let mut inner = self.0.lock().expect("the request log's lock is never poisoned");
        inner.count(&request);
        if let Some(writer) = &mut inner.writer
            && writeln!(writer, "{}", request.json()).and_then(|()| writer.flush()).is_err()
        {
            tracing::warn!("the request record can't be written; recording ends");
            inner.writer = None;
        }
        inner.requests.push_back(request);
        inner.trim();
    }

    /// Keeps only so many of the last requests in full.
    pub fn keep(&self, most: usize) {
        let mut inner = self.0.lock().expect("the request log's lock is never poisoned");
        inner.keep = most;
        inner.trim();
    }

    /// Writes every request as a line of JSON: those that are kept, and all from now on.
    ///
    /// # Errors
    /// When those that are kept can't be written; later ones are left out with a warning.
    pub fn record_to(&self, mut writer: Box<dyn Write + Send>) -> std::io::Result<()> {
        let mut inner = self.0.lock().expect("the request log's lock is never poisoned");
        for request in &inner.requests {
            writeln!(writer, "{}", request.json())?;
        }
        writer.flush()?;
        inner.writer = Some(writer);
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(client: &str, url: &str) -> Request {
        Request {
            at: Timestamp::UNIX_EPOCH,
            client: client.into(),
            verb: "get",
            resource: "pods".into(),
            url: url.to_owned(),
            status: 200,
        }
    }

    #[test]
    fn the_last_requests_are_kept_and_all_are_counted() {
        let log = RequestLog::default();
        log.keep(2);
        for url in ["/a", "/b", "/c"] {
            log.record(request("kubectl", url));
        }
        let kept: Vec<String> = log.select(|_| true).into_iter().map(|r| r.url).collect();
        assert_eq!(kept, ["/b", "/c"]);
        assert_eq!(log.counts().values().sum::<u64>(), 3);
    }

    #[test]
    fn clients_that_name_themselves_anew_every_time_fill_no_memory() {
        let log = RequestLog::default();
        log.keep(0);
        for at in 0..COUNTED + 100 {
            log.record(request(&format!("client-{at}"), "/"));
        }
        assert_eq!(log.counts().len(), COUNTED + 1);
        assert_eq!(log.counts().values().sum::<u64>(), COUNTED as u64 + 100);
    }
}
