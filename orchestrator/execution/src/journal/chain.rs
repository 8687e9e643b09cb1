//! Lines to entries and back, each chained to the line before.

use super::JournalError;
use replank_planning::canonical;
use replank_planning::ids::Digest;
use replank_planning::journal::{Entry, Header, RunState, SCHEMA};
use std::path::Path;

/// How a journal is damaged.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A line is no record.
    #[error("it is not a record ({0})")]
    NotARecord(String),
    /// A line does not follow the one before.
    #[error("it does not follow the line before it: a line was changed, removed or put in")]
    BrokenChain,
    /// The numbers have a gap.
    #[error("record {expected} is missing; found {found}")]
    Sequence {
        /// The number that should have come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// Its format is another one.
    #[error("its format is version {0}, which this version of replank does not know")]
    Schema(u32),
    /// A record contradicts those before it.
    #[error("{0}")]
    Contradiction(String),
}

/// What a journal holds.
#[derive(Debug)]
pub struct Journalled {
    /// Its first line.
    pub header: Header,
    /// The other lines.
    pub entries: Vec<Entry>,
    /// What they fold to.
    pub state: RunState,
    /// The digest of the last line: what the next one carries.
    pub tip: Digest,
    /// How many bytes are whole lines; what follows is a torn last record.
    pub whole: u64,
}

impl Journalled {
    /// The number of the last record by which the run got on: waiting for the cluster's lock is none.
    pub fn progress(&self) -> u64 {
        self.entries.iter().rev().find(|entry| !entry.record.only_waits()).map_or(0, |entry| entry.sequence)
    }
}

/// Reads a journal's bytes. A last line without an end was never promised to anyone and is left out;
/// `None` if not even the header is whole.
///
/// # Errors
/// When anything else than the last line's end is missing or wrong.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Option<Journalled>, JournalError> {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let damaged = |line: usize, damage: Damage| JournalError::Damaged {
        path: path.display().to_string(),
        line,
        damage,
    };
    let mut lines = bytes[..whole].split_inclusive(|b| *b == b'\n').map(|l| &l[..l.len() - 1]).enumerate();
    let Some((_, first)) = lines.next() else { return Ok(None) };
    let header: Header =
        serde_json::from_slice(first).map_err(|e| damaged(1, Damage::NotARecord(e.to_string())))?;
    if header.schema != SCHEMA {
        return Err(damaged(1, Damage::Schema(header.schema)));
    }
    let mut tip = canonical::digest_bytes(first);
    let mut state = RunState::default();
    let mut entries = Vec::new();
    for (at, line) in lines {
        let entry: Entry =
            serde_json::from_slice(line).map_err(|e| damaged(at + 1, Damage::NotARecord(e.to_string())))?;
        if entry.previous != tip {
            return Err(damaged(at + 1, Damage::BrokenChain));
        }
        let expected = state.sequence + 1;
        if entry.sequence != expected {
            return Err(damaged(at + 1, Damage::Sequence { expected, found: entry.sequence }));
        }
        state.apply(&entry).map_err(|e| damaged(at + 1, Damage::Contradiction(chain_text(&e))))?;
        tip = canonical::digest_bytes(line);
        entries.push(entry);
    }
    Ok(Some(Journalled { header, entries, state, tip, whole: whole as u64 }))
}

/// An error with its causes, as one sentence.
pub(crate) fn chain_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}
