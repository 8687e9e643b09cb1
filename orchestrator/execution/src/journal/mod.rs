//! The journal on disk.
//!
//! - [`mod@file`]: one line a record, appended and synced before the act it announces.
//! - [`chain`]: lines to entries and back, with the hash of the line before in each.
//! - [`fault`]: a journal that fails or "crashes" where a test says so.
//! - [`ledger`]: the journal together with the state it folds to.

pub mod chain;
pub mod fault;
pub mod file;
pub mod ledger;

pub use chain::{Damage, Journalled};
pub use fault::{CrashPoint, CrashingJournal, Side};
pub use file::JournalFile;
pub use ledger::Ledger;

use std::io;

/// Where lines go. Each is on stable storage when `append` returns.
pub trait Journal: Send {
    /// Appends one line and its end, and waits until both are on stable storage.
    ///
    /// # Errors
    /// When that can't be promised: the caller does not act.
    fn append(&mut self, line: &[u8]) -> Result<(), JournalError>;
}

impl Journal for Box<dyn Journal> {
    fn append(&mut self, line: &[u8]) -> Result<(), JournalError> {
        (**self).append(line)
    }
}

/// Why the journal can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A line could not be written.
    #[error(
        "the journal {path} could not be written ({source}); nothing was done after it. {hint}, then run the same \
         command again"
    )]
    Write {
        /// Its path.
        path: String,
        /// The system's reason.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// It could not be read.
    #[error("the journal {path} could not be read: {source}")]
    Read {
        /// Its path.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// It was changed or broken by something else than a torn last line.
    #[error(
        "the journal {path} is damaged at line {line}: {damage}. Put the file back as it was; nothing was done"
    )]
    Damaged {
        /// Its path.
        path: String,
        /// Which line, from 1.
        line: usize,
        /// How.
        damage: Damage,
    },
    /// It belongs to something else.
    #[error(
        "the journal {path} belongs to {belongs}, not to {expected}; give the run a directory of its own"
    )]
    Foreign {
        /// Its path.
        path: String,
        /// What it says.
        belongs: String,
        /// What was expected.
        expected: String,
    },
    /// A record that can't follow those before it was about to be written: a defect of replank.
    #[error("a record that can't follow the others was about to be written: {0}")]
    Contradiction(String),
    /// A test's crash: the process is as good as dead.
    #[error("crashed where the test said")]
    Crashed,
}

impl JournalError {
    /// A failed write, with advice by its kind.
    pub fn write(path: &std::path::Path, source: io::Error) -> Self {
        let hint = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "Make room on the disk",
            io::ErrorKind::ReadOnlyFilesystem => "Make the file system writable",
            io::ErrorKind::PermissionDenied => "Give this user the right to write it",
            _ => "Look at the disk",
        };
        Self::Write { path: path.display().to_string(), source, hint }
    }
}
