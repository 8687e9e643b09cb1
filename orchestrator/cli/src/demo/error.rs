//! Why a demo ended without an account.

use super::arguments::NoRoom;
use crate::exit::Exit;
use crate::failure;
use crate::wish::{Unreadable, WishError};
use replank_execution::guards::UnknownGuard;
use replank_execution::run_dir::RunDirError;
use replank_execution::{ObserveError, RunError};
use replank_planning::planner::NotPlanned;
use replank_provider_protocol::ProviderError;
use replank_simulator::faults::FaultSyntax;
use replank_simulator::scenario::{ManifestError, ScenarioError};
use std::path::PathBuf;

/// Why a demo ended without an account.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] Unreadable),
    /// What is wanted makes no sense.
    #[error(transparent)]
    Wish(#[from] WishError),
    /// A file could not be written.
    #[error("{path} could not be written: {source}")]
    Written {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An earlier demo is kept where this one was to be.
    #[error(
        "{0} holds the run of an earlier demo, of a cluster that is gone. Give --record a directory of its own."
    )]
    Recorded(PathBuf),
    /// A fault that nobody knows.
    #[error("{0}; `replank demo --fault list` prints the names")]
    Fault(#[from] FaultSyntax),
    /// A manifest makes no sense.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The cluster would have no room for its pods.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// Someone ended the demo before its run began.
    #[error("stopped while the demo's cluster was being made; nothing was begun")]
    Stopped,
    /// A guard's name.
    #[error(transparent)]
    Guard(#[from] UnknownGuard),
    /// The cluster did not come up.
    #[error("the demo's cluster did not come up: {0}")]
    Cluster(#[source] ScenarioError),
    /// The cluster did not come up with the network that was given.
    #[error(
        "the cluster did not come up with the given manifests: {0}. Give everything that `kubectl apply -f` would \
         install on a fresh cluster to give it a pod network, each file with a --cni-manifest of its own."
    )]
    Network(#[source] ScenarioError),
    /// The provider.
    #[error("the simulator's provider refused to begin")]
    Provider(#[from] ProviderError),
    /// The cluster could not be observed.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// There is no plan.
    #[error(transparent)]
    NotPlanned(#[from] NotPlanned),
    /// The run's directory.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// The run ended with an error.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A temporary directory.
    #[error("no directory for the run could be made: {0}")]
    Directory(std::io::Error),
}

impl DemoError {
    /// What a script is told: the same as by the commands that do this on a cluster that stays.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::File(_)
            | Self::Wish(_)
            | Self::Recorded(_)
            | Self::Fault(_)
            | Self::Manifest(_)
            | Self::Network(_)
            | Self::Guard(_)
            | Self::NoRoom(_) => Exit::Usage,
            Self::NotPlanned(error) => failure::of_planning(error),
            Self::RunDir(error) => failure::of_directory(error),
            Self::Run(error) => failure::of_run(error),
            Self::Written { .. }
            | Self::Stopped
            | Self::Cluster(_)
            | Self::Provider(_)
            | Self::Observe(_)
            | Self::Directory(_) => Exit::Failed,
        }
    }
}
