//! Virtual time at a speed: the clock moves by itself to whatever comes next, and waits a while in real
//! time whenever it is ahead of its speed.

use super::Speed;
use std::time::{Duration, Instant};

/// How far the clock goes between two looks, in real time: short enough for a view that looks smooth.
const BEAT: Duration = Duration::from_millis(20);

/// Keeps the virtual clock from running ahead, for ever. Timers fire at their own times and in their own
/// order, so that the speed changes nothing of the story.
pub(super) async fn keep(speed: Speed) {
    let Speed::Factor(factor) = speed else { return std::future::pending().await };
    let (real, virtually) = (Instant::now(), tokio::time::Instant::now());
    loop {
        tokio::time::sleep(BEAT.mul_f64(factor)).await;
        let due = virtually.elapsed().div_f64(factor);
        // The whole program waits, which is what is wanted: everybody else waits for the virtual clock.
        std::thread::sleep(due.saturating_sub(real.elapsed()));
    }
}
