//! Waiting for the cluster to become as it should be.

use super::ScenarioError;
use crate::server::Server;
use std::time::Duration;

/// Nothing that a cluster does at its beginning takes longer, in its own time.
const PATIENCE: Duration = Duration::from_secs(1800);
/// A cluster that is faster than in reality is looked at no more often than this, in real time: a
/// predicate may read all of it.
const SHORTEST_GAP: Duration = Duration::from_millis(25);

/// Waits until `holds`; looks again whenever something has changed, though only once in `gap`.
pub(super) async fn until(
    server: &Server,
    gap: Duration,
    what: &str,
    holds: impl Fn() -> bool,
    detail: impl Fn() -> String,
) -> Result<(), ScenarioError> {
    let gap = gap.max(SHORTEST_GAP);
    let mut changes = server.direct("scenario").changes();
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    while !holds() {
        tokio::select! {
            biased;
            () = &mut patience => {
                let (what, seconds) = (what.to_owned(), PATIENCE.as_secs());
                return Err(ScenarioError::NotReady { what, seconds, detail: detail() });
            }
            _ = changes.next() => tokio::time::sleep(gap).await,
            // Machines and hosts change without an event of the API.
            () = tokio::time::sleep(10 * gap) => {}
        }
    }
    Ok(())
}
