//! Keys that wait to be looked at: each at most once, now or at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// First wait after an error.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// Longest wait after errors.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Whatever a key is to wait for longer than this is looked at before, and then waited for again.
const LONGEST_WAIT: Duration = Duration::from_hours(24 * 365);

/// Keys in the order in which they were noted.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    order: VecDeque<K>,
    waiting: BTreeSet<K>,
    later: BTreeSet<(Instant, K)>,
    due: BTreeMap<K, Instant>,
    failures: BTreeMap<K, u32>,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            order: VecDeque::new(),
            waiting: BTreeSet::new(),
            later: BTreeSet::new(),
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> Queue<K> {
    /// Notes a key.
    pub(crate) fn add(&mut self, key: K) {
        if self.waiting.insert(key.clone()) {
            self.order.push_back(key);
        }
    }

    /// Notes several keys.
    pub(crate) fn add_all(&mut self, keys: impl IntoIterator<Item = K>) {
        for key in keys {
            self.add(key);
        }
    }

    /// Notes a key for a time; an earlier time that was noted before stands.
    pub(crate) fn add_after(&mut self, key: K, wait: Duration) {
        let at = Instant::now() + wait.min(LONGEST_WAIT);
        if let Some(before) = self.due.get(&key).copied() {
            if before <= at {
                return;
            }
            self.later.remove(&(before, key.clone()));
        }
        self.due.insert(key.clone(), at);
        self.later.insert((at, key));
    }

    /// Notes a key that failed for a while later, longer each time.
    pub(crate) fn retry(&mut self, key: K) {
        let failures = self.failures.entry(key.clone()).or_default();
        *failures += 1;
        let wait = FIRST_RETRY * 2u32.saturating_pow((*failures - 1).min(10));
        self.add_after(key, wait.min(LONGEST_RETRY));
    }

    /// The key went well: its failures are forgotten.
    pub(crate) fn forget(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// The next key whose time has come.
    pub(crate) fn take(&mut self) -> Option<K> {
        if !self.later.is_empty() {
            let now = Instant::now();
            while let Some((at, key)) = self.later.first().cloned() {
                if at > now {
                    break;
                }
                self.later.pop_first();
                self.due.remove(&key);
                self.add(key);
            }
        }
        let key = self.order.pop_front()?;
        self.waiting.remove(&key);
        Some(key)
    }

    /// When the next key that waits for a time is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_and_the_earliest_time_stands() {
        let mut queue = Queue::default();
        queue.add("a");
        queue.add("a");
        queue.add_after("b", Duration::from_secs(5));
        queue.add_after("b", Duration::from_secs(9));
        assert_eq!((queue.take(), queue.take()), (Some("a"), None));
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!((queue.take(), queue.take(), queue.next_due()), (Some("b"), None, None));
    }
}
