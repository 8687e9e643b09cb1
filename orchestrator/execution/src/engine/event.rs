//! What is told to whoever watches a run.

use replank_planning::ids::StepId;
use replank_planning::journal::Entry;
use replank_planning::waiting::Waiting;

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEvent {
    /// A record is on disk.
    Recorded(Box<Entry>),
    /// A step (or the run as a whole) waits; more often than the journal says, such as for every pod that
    /// leaves a node.
    Waiting {
        /// Which step; none for the run as a whole.
        step: Option<StepId>,
        /// For what.
        waiting: Waiting,
    },
}
