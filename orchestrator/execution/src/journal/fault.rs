//! A journal that ends a process where a test says so.

use super::{Journal, JournalError};

/// On which side of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The line is not written.
    Before,
    /// The line is written; nothing after it happens.
    After,
}

/// Where a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CrashPoint {
    /// At which line of this process, counted from 1 (a new run's header is its first).
    pub line: u64,
    /// On which side of its write.
    pub side: Side,
}

/// A journal over another one that crashes once.
pub struct CrashingJournal<J> {
    inner: J,
    at: CrashPoint,
    written: u64,
    dead: bool,
}

impl<J: Journal> CrashingJournal<J> {
    /// Crashes `inner` at a point.
    pub fn new(inner: J, at: CrashPoint) -> Self {
        Self { inner, at, written: 0, dead: false }
    }
}

impl<J: Journal> Journal for CrashingJournal<J> {
    fn append(&mut self, line: &[u8]) -> Result<(), JournalError> {
        self.written += 1;
        let now = self.written == self.at.line;
        if self.dead || (now && self.at.side == Side::Before) {
            self.dead = true;
            return Err(JournalError::Crashed);
        }
        self.inner.append(line)?;
        if now {
            self.dead = true;
            return Err(JournalError::Crashed);
        }
        Ok(())
    }
}
