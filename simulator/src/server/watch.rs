//! Watches: a stream of changes, in the words a client expects.

use super::core::Server;
use super::event::{Change, EventKind};
use super::kinds::Kind;
use super::object::{Entry, Stored, metadata};
use super::passing::Told;
use super::path::Query;
use super::read::{Selection, at_version, check_version};
use super::render::Form;
use super::state::State;
use super::status::Status;
use super::watchers::Interest;
use crate::faults::{Call, FaultId};
use crate::schema::Resource;
use bytes::{BufMut, BytesMut};
use futures::Stream;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How often an idle watch that wants bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// No watch lasts longer, whatever timeout it names.
const LONGEST: Duration = Duration::from_hours(24 * 365);
/// A watch that names no timeout ends after this and up to as much again.
const SHORTEST: u64 = 1800;

/// Takes the watch out of its table when the client goes.
struct Registration {
    server: Server,
    resource: Resource,
    interest: Interest,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.server.state().store.table_mut(&self.resource).watchers.remove(&self.interest, self.id);
    }
}

/// Who watches, as faults see it.
pub(crate) struct Watcher {
    pub(crate) client: Arc<str>,
    pub(crate) label: String,
}

/// How a watch's events are said.
pub(crate) trait Tongue: Send + Sync + 'static {
    /// A few events.
    type Said: Default + Send + Sync + 'static;

    /// Adds what happened to an object.
    fn event(&self, said: &mut Self::Said, kind: &Kind, what: EventKind, entry: &Entry);
    /// Adds that nothing happened up to a revision.
    fn bookmark(&self, said: &mut Self::Said, kind: &Kind, revision: u64, initial_end: bool);
    /// Adds why the watch can't go on.
    fn failure(&self, said: &mut Self::Said, status: Status);
    /// Whether nothing was said.
    fn is_nothing(said: &Self::Said) -> bool;
}

/// As lines of JSON, in the form that the client wants.
#[derive(Clone, Copy)]
pub(crate) struct Written(pub(crate) Form);

/// As the objects themselves.
#[derive(Clone, Copy)]
pub(crate) struct Passing;

/// A running watch.
struct Watch<T: Tongue> {
    kind: Kind,
    selection: Selection,
    tongue: T,
    first: T::Said,
    receiver: mpsc::UnboundedReceiver<Arc<Change>>,
    registration: Registration,
    /// Whether nothing comes after `first`.
    failed: bool,
    deadline: Instant,
    bookmark: Option<Instant>,
    revision: u64,
    faults: tokio::sync::watch::Receiver<u64>,
    last_fault: Option<FaultId>,
    watcher: Watcher,
}

/// Starts a watch: what it begins with and its registration are taken under one lock, so that
/// nothing is missed or doubled.
pub(crate) fn start<T: Tongue>(
    server: &Server,
    kind: &Kind,
    selection: Selection,
    query: &Query,
    watcher: Watcher,
    tongue: T,
) -> Result<impl Stream<Item = T::Said> + Send + use<T>, Status> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let interest = interest(kind, &selection);
    let mut first = T::Said::default();
    let faults = server.faults().changed();
    let last_fault = server.faults().raised().last().map(|(id, _)| *id);
    let bookmarks = query.flag("allowWatchBookmarks");
    let (id, revision, seconds, goes_on) = {
        let mut state = server.state();
        let goes_on = begin(&mut state, kind, &selection, query, &tongue, &mut first)?;
        let id = state.store.table_mut(&kind.resource).watchers.add(interest.clone(), sender);
        let seconds = query
            .number("timeoutSeconds")
            .filter(|seconds| *seconds > 0)
            .unwrap_or_else(|| SHORTEST + state.names.below(SHORTEST));
        (id, state.store.revision, seconds, goes_on)
    };
    let now = Instant::now();
    let call = Call { client: &watcher.client, verb: "watch", resource: &watcher.label };
    let asked = Duration::from_secs(seconds).min(LONGEST);
    let limit = server.faults().watch_limit(&call).map_or(asked, |limit| limit.min(asked));
    let watch = Watch {
        registration: Registration { server: server.clone(), resource: kind.resource.clone(), interest, id },
        kind: kind.clone(),
        selection,
        tongue,
        first,
        receiver,
        failed: !goes_on,
        deadline: now + limit,
        bookmark: bookmarks.then_some(now + BOOKMARK_EVERY),
        revision,
        faults,
        last_fault,
        watcher,
    };
    Ok(futures::stream::unfold(watch, |mut watch| async move {
        let said = watch.next().await?;
        Some((said, watch))
    }))
}

fn interest(kind: &Kind, selection: &Selection) -> Interest {
    let name = selection.fields.exact("metadata.name");
    let node = selection.fields.exact("spec.nodeName").filter(|node| !node.is_empty());
    match (name, node, &selection.namespace) {
        (Some(name), _, Some(namespace)) => Interest::One(namespace.clone(), name.to_owned()),
        (Some(name), _, None) if !kind.resource.namespaced => Interest::One(String::new(), name.to_owned()),
        (_, Some(node), _) if kind.resource.plural == "pods" => Interest::Node(node.to_owned()),
        (_, _, Some(namespace)) => Interest::Namespace(namespace.clone()),
        _ => Interest::All,
    }
}

/// What a watch says first: everything there is, or everything since a version. Whether it goes on then.
fn begin<T: Tongue>(
    state: &mut State,
    kind: &Kind,
    selection: &Selection,
    query: &Query,
    tongue: &T,
    out: &mut T::Said,
) -> Result<bool, Status> {
    let version = query.get("resourceVersion");
    if !version.is_empty() && version.parse::<u64>().is_err() {
        // The real server has no better answer for a watch.
        let why = format!(
            "resourceVersion: Invalid value: {version:?}: strconv.ParseUint: parsing {version:?}: invalid syntax"
        );
        return Err(Status::new(500, "", why));
    }
    check_version(version, state.store.revision)?;
    let initial = query.flag("sendInitialEvents");
    if initial && query.get("resourceVersionMatch") != "NotOlderThan" {
        return Err(Status::new(
            422,
            "Invalid",
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires \
             setting resourceVersionMatch to NotOlderThan",
        ));
    }
    let from_start = version.is_empty() || version == "0";
    if initial || (from_start && !query.has("sendInitialEvents")) {
        for entry in state.select(kind, selection) {
            tongue.event(out, kind, EventKind::Added, &entry);
        }
        if initial && query.flag("allowWatchBookmarks") {
            tongue.bookmark(out, kind, state.store.revision, true);
        }
        return Ok(true);
    }
    if from_start {
        return Ok(true);
    }
    let since: u64 = version.parse().unwrap_or(0);
    let oldest = state.store.history.compacted;
    if since < oldest {
        // The answer to a watch from before the history is an event, not a status code.
        tongue.failure(out, Status::expired(since, oldest));
        return Ok(false);
    }
    for change in state.store.history.since(since) {
        let same = change.resource.group == kind.resource.group
            && change.resource.plural == kind.resource.plural
            && selection.namespace.as_deref().is_none_or(|namespace| namespace == change.namespace);
        if same {
            translate(out, tongue, kind, selection, change);
        }
    }
    Ok(true)
}

/// Says a change as it looks through the selection.
fn translate<T: Tongue>(out: &mut T::Said, tongue: &T, kind: &Kind, selection: &Selection, change: &Change) {
    let sees = |entry: &Entry| selection.matches(&entry.object);
    let before = change.kind != EventKind::Added && change.old.as_ref().is_some_and(sees);
    let after = change.kind != EventKind::Deleted && sees(&change.new);
    match (before, after) {
        (false, true) => tongue.event(out, kind, EventKind::Added, &change.new),
        (true, true) => tongue.event(out, kind, EventKind::Modified, &change.new),
        (true, false) if change.kind == EventKind::Deleted => {
            tongue.event(out, kind, EventKind::Deleted, &change.new);
        }
        (true, false) => {
            // It left the selection: the client sees its last matching version, with the new revision.
            let Some(old) = &change.old else { return };
            let mut last = (*old.object).clone();
            metadata(&mut last).insert("resourceVersion".into(), json!(change.revision.to_string()));
            let last = Stored::new(last, old.managers.clone(), change.revision);
            tongue.event(out, kind, EventKind::Deleted, &last);
        }
        (false, false) => {}
    }
}

impl Tongue for Written {
    type Said = BytesMut;

    fn event(&self, out: &mut BytesMut, kind: &Kind, what: EventKind, entry: &Entry) {
        let object = self.0.one(kind, &at_version(kind, entry));
        let what = match what {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
        };
        out.reserve(object.len() + 40);
        out.put_slice(b"{\"type\":\"");
        out.put_slice(what.as_bytes());
        out.put_slice(b"\",\"object\":");
        out.put_slice(&object);
        out.put_slice(b"}\n");
    }

    fn bookmark(&self, out: &mut BytesMut, kind: &Kind, revision: u64, initial_end: bool) {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({
            "kind": kind.resource.kind, "apiVersion": kind.resource.api_version(), "metadata": metadata,
        });
        out.put_slice(json!({"type": "BOOKMARK", "object": object}).to_string().as_bytes());
        out.put_u8(b'\n');
    }

    fn failure(&self, out: &mut BytesMut, status: Status) {
        out.put_slice(json!({"type": "ERROR", "object": status.to_value()}).to_string().as_bytes());
        out.put_u8(b'\n');
    }

    fn is_nothing(out: &BytesMut) -> bool {
        out.is_empty()
    }
}

impl Tongue for Passing {
    type Said = Vec<Told>;

    fn event(&self, out: &mut Vec<Told>, kind: &Kind, what: EventKind, entry: &Entry) {
        let object = at_version(kind, entry).object.clone();
        out.push(match what {
            EventKind::Added | EventKind::Modified => Told::Applied(object),
            EventKind::Deleted => Told::Deleted(object),
        });
    }

    fn bookmark(&self, out: &mut Vec<Told>, _: &Kind, revision: u64, _: bool) {
        out.push(Told::Bookmark(revision));
    }

    fn failure(&self, out: &mut Vec<Told>, status: Status) {
        out.push(Told::Failed(status));
    }

    fn is_nothing(out: &Vec<Told>) -> bool {
        out.is_empty()
    }
}

impl<T: Tongue> Watch<T> {
    /// What happened next; nothing when the watch ends.
    async fn next(&mut self) -> Option<T::Said> {
        if !T::is_nothing(&self.first) {
            return Some(std::mem::take(&mut self.first));
        }
        if self.failed {
            return None;
        }
        loop {
            self.silence().await;
            let mut out = T::Said::default();
            let bookmark_at = self.bookmark.unwrap_or(self.deadline + BOOKMARK_EVERY);
            tokio::select! {
                biased;
                change = self.receiver.recv() => {
                    let change = change?;
                    self.say(&mut out, &change);
                    while let Ok(more) = self.receiver.try_recv() {
                        self.say(&mut out, &more);
                    }
                }
                () = sleep_until(self.deadline) => return None,
                changed = self.faults.changed() => {
                    if changed.is_ok() && self.ended_by_fault() {
                        return None;
                    }
                }
                () = sleep_until(bookmark_at), if self.bookmark.is_some() => {
                    self.bookmark = Some(Instant::now() + BOOKMARK_EVERY);
                    // Every change up to here has been offered, since the channel is empty.
                    let revision = self.registration.server.revision().max(self.revision);
                    if self.receiver.is_empty() {
                        self.tongue.bookmark(&mut out, &self.kind, revision, false);
                    }
                }
            }
            if !T::is_nothing(&out) {
                return Some(out);
            }
        }
    }

    fn say(&mut self, out: &mut T::Said, change: &Change) {
        self.revision = change.revision;
        let namespace = self.selection.namespace.as_deref();
        if namespace.is_none_or(|namespace| namespace == change.namespace) {
            translate(out, &self.tongue, &self.kind, &self.selection, change);
        }
    }

    /// Waits while a fault keeps the server from saying anything; what happens meanwhile is said later.
    async fn silence(&self) {
        let call = Call { client: &self.watcher.client, verb: "watch", resource: &self.watcher.label };
        self.registration.server.faults().silence(&call).await;
    }

    /// Whether a fault that ends watches was raised since the watch began.
    fn ended_by_fault(&mut self) -> bool {
        let faults = self.registration.server.faults();
        let call = Call { client: &self.watcher.client, verb: "watch", resource: &self.watcher.label };
        let ends = faults.watch_ended_since(self.last_fault, &call);
        self.last_fault = faults.raised().last().map(|(id, _)| *id).or(self.last_fault);
        ends
    }
}
