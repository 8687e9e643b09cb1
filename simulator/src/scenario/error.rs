//! Why a cluster could not be built.

use super::manifest::ManifestError;
use crate::machines::MachineError;

/// Why a cluster could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// A manifest can't be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A machine could not be made or asked.
    #[error("machine {machine}: {source}")]
    Machine {
        /// Which.
        machine: String,
        /// Why.
        source: MachineError,
    },
    /// The API server refused an object.
    #[error("the API server refused {object}: {reason}")]
    Refused {
        /// Kind and name.
        object: String,
        /// Its answer.
        reason: String,
    },
    /// Something did not come about in time.
    #[error("waited {seconds} s for {what}, in vain{detail}")]
    NotReady {
        /// What was waited for.
        what: String,
        /// For how long, in the cluster's own time.
        seconds: u64,
        /// What is known of the reason.
        detail: String,
    },
    /// A command on a host failed.
    #[error("`{command}` on {machine} failed: {output}")]
    Command {
        /// Where.
        machine: String,
        /// Which.
        command: String,
        /// What it printed.
        output: String,
    },
    /// The description makes no cluster.
    #[error("a cluster needs 1 to 7 control planes, and {0} were asked for")]
    ControlPlanes(usize),
}
