//! The records of a journal.

use crate::ids::{ClusterUid, Digest, Epoch, RunId, StepId};
use crate::late::Learned;
use crate::waiting::{PauseReason, Waiting};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the journal's format.
pub const SCHEMA: u32 = 1;

/// The first line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of replank that began it.
    pub tool_version: String,
    /// The run.
    pub run: RunId,
    /// The plan's digest.
    pub plan: Digest,
    /// The cluster.
    pub cluster: ClusterUid,
}

/// One line of a journal after the header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts from 1.
    pub sequence: u64,
    /// Wall time, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// The lock's epoch under which it was written.
    pub epoch: Epoch,
    /// What happened.
    pub record: Record,
    /// The digest of the line before (of the header for the first).
    pub previous: Digest,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase")]
pub enum Record {
    /// A process took up the run: at its beginning and at every resume.
    Resumed,
    /// A step's act is about to begin. On disk before the world is touched.
    Started {
        /// Which step.
        step: StepId,
        /// Counts from 1.
        attempt: u32,
        /// What the step captured by reading; its own type's JSON, free of secrets.
        before: Value,
    },
    /// A step waits for something new.
    Waiting {
        /// Which step; none for the run as a whole.
        step: Option<StepId>,
        /// For what.
        waiting: Waiting,
    },
    /// A late fact, on disk before it is used.
    Learned {
        /// The step that learned it.
        step: StepId,
        /// The fact.
        learned: Learned,
    },
    /// A step's act is done.
    Succeeded {
        /// Which step.
        step: StepId,
        /// What undoing it needs to know; its own type's JSON, free of secrets.
        after: Value,
    },
    /// A step's act failed; it may be tried again.
    Failed {
        /// Which step.
        step: StepId,
        /// A sentence with its causes.
        reason: String,
    },
    /// Undoing a step is about to begin.
    UndoStarted {
        /// Which step.
        step: StepId,
        /// Counts from 1.
        attempt: u32,
    },
    /// A step is undone.
    UndoSucceeded {
        /// Which step.
        step: StepId,
    },
    /// Undoing a step failed: it is stuck until someone looks.
    UndoFailed {
        /// Which step.
        step: StepId,
        /// A sentence with its causes.
        reason: String,
    },
    /// The run stopped before its end.
    Paused {
        /// Why.
        reason: PauseReason,
        /// The step it stopped at, if it was one.
        step: Option<StepId>,
    },
    /// Every step has succeeded.
    Finished,
    /// Everything that could be undone is undone.
    RolledBack,
    /// The way back was given up: retained machines, snapshots and backups are gone.
    Finalized,
}

impl Record {
    /// Whether it only tells that the run as a whole waits, as it does before it has the cluster's lock: a copy of
    /// the run's directory that waits has not come further.
    pub fn only_waits(&self) -> bool {
        matches!(self, Self::Waiting { step: None, .. })
    }
}
