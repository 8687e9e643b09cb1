//! Random moments that can be played again.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The variable that names the seed of an earlier run.
const SEED: &str = "REPLANK_TEST_SEED";

/// Where a story's random choices come from.
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    /// A new seed every time, or the one that is named; printed, for the report of a failure.
    #[allow(clippy::print_stdout, reason = "a test's own output")]
    pub(crate) fn new(story: &str) -> Self {
        let named = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let seed = named.unwrap_or_else(now);
        println!("{story}: seed {seed}; {SEED}={seed} makes the same choices again");
        // Two stories with one seed don't make the same choices.
        let of_story = story.bytes().fold(seed, |mixed, byte| mixed.rotate_left(7) ^ u64::from(byte));
        Self(ChaCha8Rng::seed_from_u64(of_story))
    }

    /// A number from 0 up to and without `below`.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0.random_range(0..below)
    }

    /// A time from nothing up to `most`.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.0.random::<f64>())
    }
}
