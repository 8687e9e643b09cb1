//! Virtual time at a speed: a short real sleep, then the clock advanced by its multiple.

use super::Speed;
use std::time::Duration;

/// How often the clock moves: often enough for a view that looks smooth.
const BEAT: Duration = Duration::from_millis(20);

/// Moves the virtual clock for ever. At full speed it moves by itself whenever nothing is to be done.
pub(super) async fn keep(speed: Speed) {
    let Speed::Factor(factor) = speed else { return std::future::pending().await };
    loop {
        // While a blocking task runs the clock does not jump.
        let slept = tokio::task::spawn_blocking(|| std::thread::sleep(BEAT)).await;
        if slept.is_err() {
            return std::future::pending().await;
        }
        tokio::time::advance(BEAT.mul_f64(factor)).await;
    }
}
