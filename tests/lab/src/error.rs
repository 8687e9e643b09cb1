//! Why the lab could not do something.

use std::path::{Path, PathBuf};

/// What went wrong, with what, and what to do now.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The machine lacks something.
    #[error("{}", .0.join("\n"))]
    Missing(Vec<String>),
    /// A program could not be started.
    #[error(
        "{program} could not be started: {source}; is it installed? `cargo xtask lab build` says what is needed"
    )]
    Start {
        /// Which.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program failed.
    #[error("{what} failed with status {status}: {said}")]
    Failed {
        /// What it was for.
        what: String,
        /// Its exit status; -1 after a signal.
        status: i32,
        /// The end of what it complained about.
        said: String,
    },
    /// A file could not be used.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the lab is not what it should be.
    #[error("{path} can't be read as what it should be: {why}")]
    Content {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There is no such lab.
    #[error("there is no lab in {0}; `cargo xtask lab up` makes one")]
    NoLab(PathBuf),
    /// There is one already.
    #[error("a lab is up in {0} already; `cargo xtask lab down` ends it")]
    AlreadyUp(PathBuf),
    /// There is no such machine.
    #[error("the lab has no machine {0}")]
    NoMachine(String),
    /// There is no such snapshot.
    #[error("the lab has no snapshot {0}")]
    NoSnapshot(String),
    /// A machine is on or off where it must be the other.
    #[error("machine {name} is {is}; {what} needs it {wanted}")]
    Power {
        /// Which.
        name: String,
        /// How it is.
        is: &'static str,
        /// For what.
        what: &'static str,
        /// How it must be.
        wanted: &'static str,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s; last seen: {seen}")]
    Late {
        /// What.
        what: String,
        /// How long it was waited for.
        seconds: u64,
        /// The last thing seen.
        seen: String,
    },
    /// User-data that the first boot does not understand.
    #[error("the user-data can't be carried out: {0}")]
    UserData(String),
}

impl LabError {
    /// An error about a file, for `map_err`.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::File { path: path.to_owned(), source }
    }
}

/// What the lab's functions answer.
pub type Result<T> = std::result::Result<T, LabError>;
