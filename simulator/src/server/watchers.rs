//! Who watches a table, indexed by what they can be interested in, so that a change of one pod
//! is offered to its node's kubelet and not to a hundred others.

use super::event::Change;
use super::object::{Entry, text};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The part of a table a watch can see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Interest {
    /// All objects.
    All,
    /// The objects of one namespace.
    Namespace(String),
    /// The pods bound to one node.
    Node(String),
    /// One object, by namespace and name.
    One(String, String),
}

/// Receives changes until dropped.
pub(crate) type Sender = mpsc::UnboundedSender<Arc<Change>>;

/// The watches of one table.
#[derive(Default)]
pub(crate) struct Watchers {
    by_interest: BTreeMap<Interest, BTreeMap<u64, Sender>>,
    next: u64,
}

impl Watchers {
    /// Adds a watch; the returned number removes it again.
    pub(crate) fn add(&mut self, interest: Interest, sender: Sender) -> u64 {
        self.next += 1;
        self.by_interest.entry(interest).or_default().insert(self.next, sender);
        self.next
    }

    pub(crate) fn remove(&mut self, interest: &Interest, id: u64) {
        if let Some(senders) = self.by_interest.get_mut(interest) {
            senders.remove(&id);
            if senders.is_empty() {
                self.by_interest.remove(interest);
            }
        }
    }

    /// Hands a change to every watch it may concern.
    pub(crate) fn offer(&mut self, change: &Arc<Change>) {
        if self.by_interest.is_empty() {
            return;
        }
        self.send(&Interest::All, change);
        if !change.namespace.is_empty() {
            self.send(&Interest::Namespace(change.namespace.clone()), change);
        }
        self.send(&Interest::One(change.namespace.clone(), change.name.clone()), change);
        if change.resource.plural == "pods" {
            let node = |entry: &Entry| text(&entry.object, "/spec/nodeName").to_owned();
            let after = node(&change.new);
            let before = change.old.as_ref().map(node).unwrap_or_default();
            if !after.is_empty() {
                self.send(&Interest::Node(after.clone()), change);
            }
            if !before.is_empty() && before != after {
                self.send(&Interest::Node(before), change);
            }
        }
    }

    fn send(&mut self, interest: &Interest, change: &Arc<Change>) {
        if let Some(senders) = self.by_interest.get_mut(interest) {
            senders.retain(|_, sender| sender.send(change.clone()).is_ok());
        }
    }

    /// Ends every watch: their receivers see the end of the channel.
    pub(crate) fn end_all(&mut self) {
        self.by_interest.clear();
    }
}
