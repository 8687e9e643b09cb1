//! The journal together with the state it folds to: the one place where records are made.

use super::chain::{Journalled, chain_text};
use super::{Journal, JournalError};
use crate::clock::{WallClock, millis};
use replank_planning::canonical;
use replank_planning::ids::{Digest, Epoch, StepId};
use replank_planning::journal::{Entry, Header, Record, RunState, StepPhase};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Told of every entry once it is on disk.
pub type Listener = Box<dyn Fn(&Entry) + Send + Sync>;

/// Records in, state out. Writing is synchronous: when [`Ledger::record`] returns, the record is on disk.
pub struct Ledger {
    inner: Mutex<Inner>,
    clock: Arc<dyn WallClock>,
    listener: Listener,
}

struct Inner {
    journal: Box<dyn Journal>,
    tip: Digest,
    epoch: Epoch,
    state: RunState,
    order: Vec<StepId>,
}

impl Ledger {
    /// Begins a journal with its header.
    ///
    /// # Errors
    /// When the header can't be written.
    pub fn begin(
        mut journal: Box<dyn Journal>,
        header: &Header,
        epoch: Epoch,
        clock: Arc<dyn WallClock>,
        listener: Listener,
    ) -> Result<Self, JournalError> {
        let line = bytes(header)?;
        journal.append(&line)?;
        let tip = canonical::digest_bytes(&line);
        let inner = Inner { journal, tip, epoch, state: RunState::default(), order: Vec::new() };
        Ok(Self { inner: Mutex::new(inner), clock, listener })
    }

    /// Goes on with a journal that was read.
    pub fn resume(
        journal: Box<dyn Journal>,
        read: Journalled,
        epoch: Epoch,
        clock: Arc<dyn WallClock>,
        listener: Listener,
    ) -> Self {
        let mut order = Vec::new();
        read.entries.iter().for_each(|entry| follow(&mut order, &entry.record));
        let inner = Inner { journal, tip: read.tip, epoch, state: read.state, order };
        Self { inner: Mutex::new(inner), clock, listener }
    }

    /// Writes a record, then takes it into the state.
    ///
    /// # Errors
    /// When it can't be promised to be on disk, or can't follow those before it.
    pub fn record(&self, record: Record) -> Result<(), JournalError> {
        let entry = {
            let mut inner = self.lock();
            inner.state.admits(&record).map_err(|e| JournalError::Contradiction(chain_text(&e)))?;
            let entry = Entry {
                sequence: inner.state.sequence + 1,
                time: millis(self.clock.now()),
                epoch: inner.epoch,
                record,
                previous: inner.tip.clone(),
            };
            let line = bytes(&entry)?;
            inner.journal.append(&line)?;
            inner.tip = canonical::digest_bytes(&line);
            inner.state.apply(&entry).map_err(|e| JournalError::Contradiction(chain_text(&e)))?;
            follow(&mut inner.order, &entry.record);
            entry
        };
        (self.listener)(&entry);
        Ok(())
    }

    /// Records from now on carry this epoch.
    pub fn set_epoch(&self, epoch: Epoch) {
        self.lock().epoch = epoch;
    }

    /// Looks at the state.
    pub fn state<T>(&self, look: impl FnOnce(&RunState) -> T) -> T {
        look(&self.lock().state)
    }

    /// Steps that left something, in the order in which they were first begun.
    pub fn order(&self) -> Vec<StepId> {
        let inner = self.lock();
        let touched =
            |id: &&StepId| !matches!(inner.state.step(id).phase, StepPhase::Pending | StepPhase::Undone);
        inner.order.iter().filter(touched).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A poisoned lock means that a listener or clock panicked; what is inside is still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn follow(order: &mut Vec<StepId>, record: &Record) {
    match record {
        Record::Started { step, .. } if !order.contains(step) => order.push(step.clone()),
        Record::UndoSucceeded { step } => order.retain(|s| s != step),
        _ => {}
    }
}

fn bytes<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, JournalError> {
    canonical::to_bytes(value).map_err(|e| JournalError::Contradiction(e.to_string()))
}
