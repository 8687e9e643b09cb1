//! Watches: a stream of changes, in the words a client expects.

use super::core::Server;
use super::event::{Change, EventKind};
use super::kinds::Kind;
use super::object::{Entry, Stored, metadata};
use super::path::Query;
use super::read::{Selection, at_version, check_version};
use super::render::Form;
use super::state::State;
use super::status::Status;
use super::watchers::Interest;
use crate::faults::{Call, FaultId};
use crate::schema::Resource;
use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How often an idle watch that wants bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
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

/// A running watch.
struct Watch {
    kind: Kind,
    selection: Selection,
    form: Form,
    first: BytesMut,
    receiver: mpsc::UnboundedReceiver<Arc<Change>>,
    registration: Registration,
    deadline: Instant,
    bookmark: Option<Instant>,
    revision: u64,
    faults: tokio::sync::watch::Receiver<u64>,
    last_fault: Option<FaultId>,
    watcher: Watcher,
}

/// Starts a watch: what it begins with and its registration are taken under one lock, so that
/// nothing is missed or doubled.
pub(crate) fn start(
    server: &Server,
    kind: &Kind,
    selection: Selection,
    query: &Query,
    form: Form,
    watcher: Watcher,
) -> Result<impl Stream<Item = Result<Bytes, Infallible>> + Send + use<>, Status> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let interest = interest(kind, &selection);
    let mut first = BytesMut::new();
    let faults = server.faults().changed();
    let last_fault = server.faults().raised().last().map(|(id, _)| *id);
    let bookmarks = query.flag("allowWatchBookmarks");
    let (id, revision, seconds) = {
        let mut state = server.state();
        begin(&mut state, kind, &selection, query, form, &mut first)?;
        let id = state.store.table_mut(&kind.resource).watchers.add(interest.clone(), sender);
        let seconds = query
            .number("timeoutSeconds")
            .filter(|seconds| *seconds > 0)
            .unwrap_or_else(|| SHORTEST + state.names.below(SHORTEST));
        (id, state.store.revision, seconds)
    };
    let now = Instant::now();
    let call = Call { client: &watcher.client, verb: "watch", resource: &watcher.label };
    let limit = server.faults().watch_limit(&call).unwrap_or(Duration::MAX).min(Duration::from_secs(seconds));
    let watch = Watch {
        registration: Registration { server: server.clone(), resource: kind.resource.clone(), interest, id },
        kind: kind.clone(),
        selection,
        form,
        first,
        receiver,
        deadline: now + limit,
        bookmark: bookmarks.then_some(now + BOOKMARK_EVERY),
        revision,
        faults,
        last_fault,
        watcher,
    };
    Ok(futures::stream::unfold(watch, |mut watch| async move {
        let bytes = watch.next().await?;
        Some((Ok(bytes), watch))
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

/// What a watch says first: everything there is, or everything since a version.
fn begin(
    state: &mut State,
    kind: &Kind,
    selection: &Selection,
    query: &Query,
    form: Form,
    out: &mut BytesMut,
) -> Result<(), Status> {
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
            event(out, form, kind, "ADDED", &entry);
        }
        if initial && query.flag("allowWatchBookmarks") {
            bookmark(out, kind, state.store.revision, true);
        }
        return Ok(());
    }
    if from_start {
        return Ok(());
    }
    let since: u64 = version.parse().unwrap_or(0);
    let oldest = state.store.history.compacted;
    if since < oldest {
        // The answer to a watch from before the history is an event, not a status code.
        let status = Status::expired(since, oldest).to_value();
        out.put_slice(json!({"type": "ERROR", "object": status}).to_string().as_bytes());
        out.put_u8(b'\n');
        return Ok(());
    }
    for change in state.store.history.since(since) {
        let same = change.resource.group == kind.resource.group
            && change.resource.plural == kind.resource.plural
            && selection.namespace.as_deref().is_none_or(|namespace| namespace == change.namespace);
        if same {
            translate(out, form, kind, selection, change);
        }
    }
    Ok(())
}

/// Says a change as it looks through the selection.
fn translate(out: &mut BytesMut, form: Form, kind: &Kind, selection: &Selection, change: &Change) {
    let sees = |entry: &Entry| selection.matches(&entry.object);
    let before = change.kind != EventKind::Added && change.old.as_ref().is_some_and(sees);
    let after = change.kind != EventKind::Deleted && sees(&change.new);
    match (before, after) {
        (false, true) => event(out, form, kind, "ADDED", &change.new),
        (true, true) => event(out, form, kind, "MODIFIED", &change.new),
        (true, false) if change.kind == EventKind::Deleted => {
            event(out, form, kind, "DELETED", &change.new);
        }
        (true, false) => {
            // It left the selection: the client sees its last matching version, with the new revision.
            let Some(old) = &change.old else { return };
            let mut last = (*old.object).clone();
            metadata(&mut last).insert("resourceVersion".into(), json!(change.revision.to_string()));
            event(out, form, kind, "DELETED", &Stored::new(last, change.revision));
        }
        (false, false) => {}
    }
}

fn event(out: &mut BytesMut, form: Form, kind: &Kind, what: &str, entry: &Entry) {
    let object = form.one(kind, &at_version(kind, entry));
    out.reserve(object.len() + 40);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(what.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(&object);
    out.put_slice(b"}\n");
}

fn bookmark(out: &mut BytesMut, kind: &Kind, revision: u64, initial_end: bool) {
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

impl Watch {
    /// The next bytes; nothing when the watch ends.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.first.is_empty() {
            return Some(self.first.split().freeze());
        }
        loop {
            self.silence().await;
            let mut out = BytesMut::new();
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
                        bookmark(&mut out, &self.kind, revision, false);
                    }
                }
            }
            if !out.is_empty() {
                return Some(out.freeze());
            }
        }
    }

    fn say(&mut self, out: &mut BytesMut, change: &Change) {
        self.revision = change.revision;
        let namespace = self.selection.namespace.as_deref();
        if namespace.is_none_or(|namespace| namespace == change.namespace) {
            translate(out, self.form, &self.kind, &self.selection, change);
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
