//! The last changes, for watches that start in the past, and how far back they reach.

use super::event::Change;
use std::collections::VecDeque;
use std::sync::{Arc, mpsc};

/// How many changes are kept; a watch from before them gets 410 Gone. A cluster of a hundred nodes makes that many
/// in two minutes, most of them signs of life. Whole objects that nobody will look at again cost by being cold
/// memory: five times as many cost a twelfth of all time.
const KEPT: usize = 2_000;

/// How many forgotten changes are freed together.
const FREED: usize = 64;

/// Where forgotten changes are freed: on a thread of their own, since everything else is one thread's work and
/// freeing two versions of an object, memory that was not touched for minutes, is a twentieth of it.
struct Reaper {
    forgotten: Vec<Arc<Change>>,
    thread: Option<mpsc::Sender<Vec<Arc<Change>>>>,
}

impl Reaper {
    fn take(&mut self, change: Arc<Change>) {
        self.forgotten.push(change);
        if self.forgotten.len() < FREED {
            return;
        }
        let forgotten = std::mem::replace(&mut self.forgotten, Vec::with_capacity(FREED));
        // Without a thread they are freed here.
        let _ = self.thread.get_or_insert_with(reaping).send(forgotten);
    }
}

/// Starts the thread; it ends with its sender.
fn reaping() -> mpsc::Sender<Vec<Arc<Change>>> {
    let (sender, forgotten) = mpsc::channel::<Vec<Arc<Change>>>();
    let thread = std::thread::Builder::new().name("reaper".to_owned());
    if let Err(error) = thread.spawn(move || forgotten.iter().for_each(drop)) {
        tracing::debug!(%error, "no thread frees forgotten changes");
    }
    sender
}

/// The last changes of the store.
pub(crate) struct History {
    changes: VecDeque<Arc<Change>>,
    reaper: Reaper,
    /// Watches may start at this revision or later.
    pub(crate) compacted: u64,
}

impl History {
    pub(crate) fn new() -> Self {
        let reaper = Reaper { forgotten: Vec::new(), thread: None };
        Self { changes: VecDeque::new(), reaper, compacted: 0 }
    }

    pub(crate) fn push(&mut self, change: Arc<Change>) {
        self.changes.push_back(change);
        if self.changes.len() > KEPT
            && let Some(oldest) = self.changes.pop_front()
        {
            self.compacted = oldest.revision;
            self.reaper.take(oldest);
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
