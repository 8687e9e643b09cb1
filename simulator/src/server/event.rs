//! What happened to the store, and cursors over it.

use super::object::{Entry, Object};
use crate::schema::Resource;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// It is new.
    Added,
    /// It has a new version.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change of the store.
#[derive(Clone, Debug)]
pub struct Event {
    /// The kind of the object.
    pub resource: Resource,
    /// What happened.
    pub kind: EventKind,
    /// The version before; the last one for deletions.
    pub old: Option<Object>,
    /// The version after; `None` for deletions.
    pub new: Option<Object>,
    /// The store's revision after the change.
    pub revision: u64,
    /// Who made the change: the first word of its User-Agent, or the name given to [`super::Server::direct`].
    pub client: Arc<str>,
}

impl Event {
    /// The newest version there is: the new one, or the last one of a deleted object.
    pub fn object(&self) -> &Object {
        self.new.as_ref().or(self.old.as_ref()).expect("an event has a version before or after")
    }
}

/// A change as the store keeps it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) resource: Arc<Resource>,
    pub(crate) kind: EventKind,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) old: Option<Entry>,
    /// The version after; for deletions the last version, carrying the revision of the deletion.
    pub(crate) new: Entry,
    pub(crate) revision: u64,
    pub(crate) client: Arc<str>,
}

impl Change {
    pub(crate) fn event(&self) -> Event {
        let last = self.new.object.clone();
        let (old, new) = match self.kind {
            EventKind::Deleted => (Some(last), None),
            _ => (self.old.as_ref().map(|entry| entry.object.clone()), Some(last)),
        };
        Event {
            resource: (*self.resource).clone(),
            kind: self.kind,
            old,
            new,
            revision: self.revision,
            client: self.client.clone(),
        }
    }
}

/// The queue behind one [`Changes`].
#[derive(Debug, Default)]
pub(crate) struct Feed {
    queue: Mutex<VecDeque<Arc<Change>>>,
    wake: Notify,
}

impl Feed {
    pub(crate) fn push(&self, change: Arc<Change>) {
        self.queue.lock().expect("the feed's lock is never poisoned").push_back(change);
        self.wake.notify_one();
    }

    fn drain(&self) -> Vec<Arc<Change>> {
        self.queue.lock().expect("the feed's lock is never poisoned").drain(..).collect()
    }
}

/// A cursor over all changes of the store, from the moment it was made.
#[derive(Debug)]
pub struct Changes {
    pub(crate) feed: Arc<Feed>,
}

impl Changes {
    /// Everything since the last call; waits if there is nothing yet. Cancel-safe.
    pub async fn next(&mut self) -> Vec<Event> {
        loop {
            let events = self.ready();
            if !events.is_empty() {
                return events;
            }
            self.feed.wake.notified().await;
        }
    }

    /// Everything since the last call, possibly nothing.
    pub fn ready(&mut self) -> Vec<Event> {
        self.feed.drain().iter().map(|change| change.event()).collect()
    }
}
