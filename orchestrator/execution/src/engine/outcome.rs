//! How a run ends, and why a step did not.

use crate::api::ApiError;
use crate::fit::Misfit;
use crate::journal::JournalError;
use crate::lock::LockError;
use crate::rights::MissingRights;
use crate::run_dir::RunDirError;
use replank_planning::ids::StepId;
use replank_planning::waiting::{PauseReason, Refusal, Waiting};

/// How a run ended, as far as it is for the journal to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Every step has succeeded.
    Finished,
    /// Everything that was asked to be undone is undone.
    RolledBack,
    /// It waits for a person; the same command goes on.
    Paused {
        /// Why.
        reason: PauseReason,
        /// At which step.
        step: Option<StepId>,
    },
    /// The way back ends here: this step can't be undone.
    NoWayBack {
        /// Which step.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// Undoing this step failed: someone has to look.
    Stuck {
        /// Which step.
        step: StepId,
        /// Why.
        reason: String,
    },
}

/// Why a run could not be begun or had to stop without a record of its own.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run's directory.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The cluster's lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The plan is for another cluster.
    #[error(
        "the plan is for cluster {planned}, and this is cluster {found}; check --kubeconfig and --context"
    )]
    OtherCluster {
        /// The plan's.
        planned: String,
        /// This one.
        found: String,
    },
    /// The API server will not allow all of it.
    #[error(
        "the API server does not allow you what this plan needs:{0}\nNothing was done. `replank rbac PLAN` prints the roles for it"
    )]
    Rights(MissingRights),
    /// The plan does not fit the cluster any more.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// The cluster can't be asked which it is.
    #[error("the API server could not be asked: {0}")]
    Api(#[from] ApiError),
    /// A way back was to end at a step that is not there to stay.
    #[error(
        "step {step} can't be the last one that stays: it has not begun, or its undoing has. {}. Nothing was undone",
        instead(.may)
    )]
    NothingStays {
        /// Which.
        step: StepId,
        /// Those that may be named instead, in the plan's order.
        may: Vec<StepId>,
    },
    /// Going forward from a step that is half undone.
    #[error(
        "step {step} is half undone, and only the way back goes on from there: end it with `replank rollback`, then \
         run the same command again. Nothing was done"
    )]
    HalfUndone {
        /// Which.
        step: StepId,
    },
    /// The plan can't be written as JSON.
    #[error("the plan can't be used: {0}")]
    Plan(String),
}

/// How many steps are named at most: a plan for many nodes has hundreds.
const NAMED: usize = 20;

/// Which steps may be named, the last ones if they are many.
fn instead(may: &[StepId]) -> String {
    let last: Vec<&str> = may.iter().skip(may.len().saturating_sub(NAMED)).map(StepId::as_str).collect();
    match (last.len(), may.len()) {
        (0, _) => "There is nothing yet that could stay".to_owned(),
        (shown, all) if shown < all => {
            format!("One of these may be, or one of {} before them: {}", all - shown, last.join(", "))
        }
        _ => format!("One of these may be: {}", last.join(", ")),
    }
}

/// Why a step did not get to its end.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It refuses: waiting won't help.
    #[error("{0}")]
    Refused(Refusal),
    /// A deadline passed.
    #[error("after {seconds} s it was still {waiting}")]
    Deadline {
        /// What it was waiting for.
        waiting: Box<Waiting>,
        /// The deadline.
        seconds: u64,
    },
    /// It failed; trying again may help.
    #[error("{0}")]
    Failed(String),
    /// The provider refuses or keeps failing.
    #[error("{0}")]
    Provider(String),
    /// A pause was asked for, and this is a safe point.
    #[error("paused")]
    Paused,
    /// The journal can't be written: nothing may be done any more.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The lock is lost: nothing may be done any more.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl StepError {
    /// A refusal because the world is not as the plan knew it.
    pub fn changed(object: impl ToString, difference: impl Into<String>) -> Self {
        Self::Refused(Refusal::Changed { object: object.to_string(), difference: difference.into() })
    }

    /// A refusal of the API server.
    pub fn server(action: impl Into<String>, error: &ApiError) -> Self {
        Self::Refused(Refusal::Server { action: action.into(), message: error.message.clone() })
    }

    /// A refusal because of a host.
    pub fn host(node: impl ToString, reason: impl Into<String>) -> Self {
        Self::Refused(Refusal::Host { node: node.to_string(), reason: reason.into() })
    }

    /// A refusal because a guard would break.
    pub fn unsafe_act(guard: &str, reason: impl Into<String>) -> Self {
        Self::Refused(Refusal::Unsafe { guard: guard.to_owned(), reason: reason.into() })
    }
}

impl From<RunDirError> for StepError {
    fn from(error: RunDirError) -> Self {
        match error {
            RunDirError::Journal(error) => Self::Journal(error),
            other => Self::Failed(other.to_string()),
        }
    }
}
