//! Exit statuses: what a script can tell from them.

use std::process::ExitCode;

/// How the program ended. Clap's own 2 stands for wrong usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line, a file or a manifest makes no sense.
    Usage = 2,
    /// Findings stand in the way.
    Blocked = 3,
    /// The run is paused.
    Paused = 4,
    /// The plan no longer fits the cluster.
    DoesNotFit = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
