//! Why a command ended early, and the exit status that tells it.

use crate::cluster::ConnectError;
use crate::confirm::Unconfirmed;
use crate::exit::Exit;
use crate::machines::MachinesError;
use crate::runs::RunsError;
use crate::wish::{Unreadable, WishError};
use replank_cloud_init::UserDataError;
use replank_execution::api::ApiError;
use replank_execution::finalize::FinalizeError;
use replank_execution::fit::Misfit;
use replank_execution::journal::JournalError;
use replank_execution::orphans::OrphansError;
use replank_execution::run_dir::RunDirError;
use replank_execution::steps::create_machine::shape::PreviewError;
use replank_execution::{ObserveError, RunError};
use replank_planning::lint::Fault;
use replank_planning::planner::NotPlanned;
use std::path::PathBuf;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Machines(#[from] MachinesError),
    #[error(transparent)]
    Runs(#[from] RunsError),
    #[error(transparent)]
    File(#[from] Unreadable),
    #[error(transparent)]
    Wish(#[from] WishError),
    #[error(transparent)]
    Unconfirmed(#[from] Unconfirmed),
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error(transparent)]
    NotPlanned(#[from] NotPlanned),
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Finalize(#[from] FinalizeError),
    #[error(transparent)]
    Orphans(#[from] OrphansError),
    #[error(transparent)]
    Preview(#[from] PreviewError),
    #[error(transparent)]
    UserData(#[from] UserDataError),
    #[error("the cluster's mirror could not be used: {0}")]
    Mirror(#[from] ApiError),
    #[error("{path} is not a plan of this version of replank: {reason}; make one with `replank plan`")]
    NotAPlan { path: PathBuf, reason: String },
    #[error("the plan can't be carried out:{}", .0.iter().map(|f| format!("\n  {f}")).collect::<String>())]
    Faulty(Vec<Fault>),
    #[error("{path} could not be written: {source}")]
    Unwritten { path: PathBuf, source: std::io::Error },
    #[error(
        "say which provider makes the machines: --provider NAME, or `provider` in a file given with --config"
    )]
    NoProvider,
    #[error("no run has been seen on this cluster; begin one with `replank apply`")]
    NoRun,
    #[error("no replank process took the request within {seconds} s, so it was taken back: {why}")]
    NotTaken { seconds: u64, why: String },
    #[error("the system refused what replank needs: {0}")]
    System(#[from] std::io::Error),
}

impl Failure {
    /// What a script is told.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::File(_) | Self::Wish(_) | Self::NotAPlan { .. } | Self::Faulty(_) | Self::NoProvider => {
                Exit::Usage
            }
            Self::Unconfirmed(_) | Self::Runs(_) | Self::UserData(_) => Exit::Usage,
            Self::Preview(PreviewError::NoSuchNode { .. } | PreviewError::UserData(_)) => Exit::Usage,
            Self::Connect(ConnectError::File { .. } | ConnectError::Found(_)) => Exit::Usage,
            Self::Machines(MachinesError::NotFound(_)) => Exit::Usage,
            Self::RunDir(error) => of_directory(error),
            Self::NotPlanned(error) => of_planning(error),
            Self::Run(error) | Self::Finalize(FinalizeError::Run(error)) => of_run(error),
            _ => Exit::Failed,
        }
    }
}

pub(crate) fn of_planning(error: &NotPlanned) -> Exit {
    match error {
        NotPlanned::Blocked(_) | NotPlanned::ConsentMissing(_) => Exit::Blocked,
        NotPlanned::NotMeant(_) | NotPlanned::Exhausted(_) | NotPlanned::NoSuchCanary(_) => Exit::Usage,
    }
}

pub(crate) fn of_run(error: &RunError) -> Exit {
    match error {
        RunError::OtherCluster { .. } | RunError::Misfit(Misfit::Changed(_)) => Exit::DoesNotFit,
        RunError::Journal(JournalError::Foreign { .. }) => Exit::Usage,
        RunError::NothingStays { .. } | RunError::HalfUndone { .. } => Exit::Usage,
        RunError::RunDir(error) => of_directory(error),
        _ => Exit::Failed,
    }
}

pub(crate) fn of_directory(error: &RunDirError) -> Exit {
    match error {
        RunDirError::OtherPlan(_) | RunDirError::Plan { .. } => Exit::Usage,
        _ => Exit::Failed,
    }
}
