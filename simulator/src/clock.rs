//! The one source of time: wall time that moves with tokio's clock.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::time::Instant;

/// Wall time that advances exactly as tokio's (possibly paused) clock does.
///
/// Every timestamp the simulator writes comes from here, so that under a paused clock
/// the same run writes the same times.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Timestamp,
    start: Instant,
}

impl Clock {
    /// A clock that shows `base` now. Needs a tokio runtime when time is paused.
    pub fn starting_at(base: Timestamp) -> Self {
        Self { base, start: Instant::now() }
    }

    /// A clock that shows a fixed date now, the same in every run: 2026-01-05T08:00:00Z.
    pub fn fixed() -> Self {
        Self::starting_at(Timestamp::constant(1_767_600_000, 0))
    }

    /// The wall time now.
    pub fn now(&self) -> Timestamp {
        let elapsed = self.elapsed();
        self.base
            .checked_add(SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX))
            .unwrap_or(Timestamp::MAX)
    }

    /// The time since the clock was made.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Now as `metav1.Time` writes it: RFC 3339 in whole seconds.
    pub fn now_rfc3339(&self) -> String {
        rfc3339(self.now())
    }

    /// Now as `metav1.MicroTime` writes it: RFC 3339 with six decimals.
    pub fn micro_now(&self) -> String {
        rfc3339_micro(self.now())
    }
}

/// A time as `metav1.Time` writes it: RFC 3339 in whole seconds.
pub fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time as `metav1.MicroTime` writes it: RFC 3339 with six decimals.
pub fn rfc3339_micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads a time written by [`rfc3339`] or [`rfc3339_micro`].
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
