//! The last changes, for watches that start in the past, and how far back they reach.

use super::event::Change;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many changes are kept; a watch from before them gets 410 Gone. A cluster of a hundred nodes makes that many
/// in two minutes, most of them signs of life. Whole objects that nobody will look at again cost by being cold
/// memory: five times as many cost a twelfth of all time.
const KEPT: usize = 2_000;

/// The last changes of the store.
pub(crate) struct History {
    changes: VecDeque<Arc<Change>>,
    /// Watches may start at this revision or later.
    pub(crate) compacted: u64,
}

impl History {
    pub(crate) fn new() -> Self {
        Self { changes: VecDeque::new(), compacted: 0 }
    }

    pub(crate) fn push(&mut self, change: Arc<Change>) {
        self.changes.push_back(change);
        if self.changes.len() > KEPT
            && let Some(oldest) = self.changes.pop_front()
        {
            self.compacted = oldest.revision;
        }
    }

    /// Forgets everything up to and including `revision`.
    pub(crate) fn compact(&mut self, revision: u64) {
        while self.changes.front().is_some_and(|change| change.revision <= revision) {
            self.changes.pop_front();
        }
        self.compacted = self.compacted.max(revision);
    }

    /// The changes after `revision`, oldest first.
    pub(crate) fn since(&self, revision: u64) -> impl DoubleEndedIterator<Item = &Arc<Change>> {
        let start = self.changes.partition_point(|change| change.revision <= revision);
        self.changes.range(start..)
    }
}
