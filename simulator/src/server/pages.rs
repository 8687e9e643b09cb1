//! Lists handed out in pages: the rest of a list waits here until it is asked for.

use super::object::Entry;
use super::status::Status;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many unfinished lists are kept before the oldest is forgotten.
const KEPT: usize = 256;

/// A list of which only a part has been handed out.
#[derive(Clone)]
pub(crate) struct Rest {
    pub(crate) revision: u64,
    pub(crate) entries: Arc<Vec<Entry>>,
}

/// Unfinished lists, by number.
#[derive(Default)]
pub(crate) struct Pages {
    next: u64,
    rests: BTreeMap<u64, Rest>,
}

impl Pages {
    /// Keeps a list; answers the token that continues at `offset`.
    pub(crate) fn keep(&mut self, rest: Rest, offset: usize) -> String {
        self.next += 1;
        self.rests.insert(self.next, rest);
        while self.rests.len() > KEPT {
            self.rests.pop_first();
        }
        token(self.next, offset)
    }

    /// The list a token belongs to, and where it goes on.
    pub(crate) fn resume(&self, token: &str) -> Result<(u64, usize, Rest), Status> {
        let parsed = token.split_once('.').and_then(|(id, offset)| {
            Some((u64::from_str_radix(id, 16).ok()?, usize::from_str_radix(offset, 16).ok()?))
        });
        let Some((id, offset)) = parsed else {
            return Err(Status::bad_request("continue key is not valid"));
        };
        let rest = self.rests.get(&id).cloned().ok_or_else(|| {
            Status::new(
                410,
                "Expired",
                "The provided continue parameter is too old to display a consistent list result. You can start a \
                 new list without the continue parameter.",
            )
        })?;
        Ok((id, offset, rest))
    }

    /// Forgets a list that has been handed out whole.
    pub(crate) fn done(&mut self, id: u64) {
        self.rests.remove(&id);
    }

    /// Forgets the lists older than `revision`, as compaction does.
    pub(crate) fn compact(&mut self, revision: u64) {
        self.rests.retain(|_, rest| rest.revision > revision);
    }
}

/// The token that continues list `id` at `offset`.
pub(crate) fn token(id: u64, offset: usize) -> String {
    format!("{id:x}.{offset:x}")
}
