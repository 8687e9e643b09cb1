//! Where runs are kept on this machine: `$XDG_STATE_HOME/replank/runs`, one directory a run.

use replank_execution::RunDir;
use replank_execution::run_dir::RunDirError;
use replank_planning::ids::RunId;
use std::path::{Path, PathBuf};

/// There is no place for runs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunsError {
    /// Neither the variable nor a home directory is set.
    #[error("there is no place for the run: neither XDG_STATE_HOME nor HOME is set; give --run-dir DIR")]
    NoHome,
    /// The place can't be read.
    #[error("{path} could not be read: {source}")]
    Unreadable {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No run is there that the command could mean.
    #[error("there is no run in {0}; give --run-dir DIR")]
    None(PathBuf),
    /// Several are.
    #[error("there are several runs; give one of them with --run-dir:{}", listed(.0))]
    Several(Vec<PathBuf>),
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("\n  {}", path.display())).collect()
}

/// The directory of all runs.
///
/// # Errors
/// When there is no home for it.
pub(crate) fn place() -> Result<PathBuf, RunsError> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    place_by(variable("XDG_STATE_HOME"), std::env::home_dir(), cfg!(target_os = "macos"))
}

/// The XDG specification asks for relative paths to be ignored.
fn place_by(state: Option<PathBuf>, home: Option<PathBuf>, macos: bool) -> Result<PathBuf, RunsError> {
    let of_home = || {
        let below = if macos { "Library/Application Support" } else { ".local/state" };
        home.filter(|home| home.is_absolute()).map(|home| home.join(below))
    };
    let base = state.filter(|path| path.is_absolute()).or_else(of_home).ok_or(RunsError::NoHome)?;
    Ok(base.join("replank").join("runs"))
}

/// The directory of one run: the one that was named, or its own below [`place`].
///
/// # Errors
/// When there is no home for it.
pub(crate) fn directory(named: Option<&Path>, run: &RunId) -> Result<PathBuf, RunsError> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => Ok(place()?.join(run.to_string())),
    }
}

/// Every run directory below [`place`], by name.
///
/// # Errors
/// When the place can't be read.
pub(crate) fn all() -> Result<Vec<PathBuf>, RunsError> {
    let place = place()?;
    let entries = match std::fs::read_dir(&place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RunsError::Unreadable { path: place, source }),
    };
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.join("plan.json").is_file()).collect();
    found.sort();
    Ok(found)
}

/// The run that a command means which was not told one: the only one that has begun and is not over.
///
/// # Errors
/// When there is none, or more than one.
pub(crate) fn meant(
    named: Option<&Path>,
    over: impl Fn(&replank_planning::journal::RunPhase) -> bool,
) -> Result<PathBuf, RunsError> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let open = |path: &PathBuf| match RunDir::look(path) {
        Ok((_, Some(journalled))) => !over(&journalled.state.phase),
        Ok((_, None)) => false,
        // A damaged one is for a person to look at, not to be passed over.
        Err(RunDirError::Journal(_)) => true,
        Err(_) => false,
    };
    let mut found: Vec<PathBuf> = all()?.into_iter().filter(open).collect();
    match (found.pop(), found.is_empty()) {
        (None, _) => Err(RunsError::None(place()?)),
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            found.push(last);
            Err(RunsError::Several(found))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_lie_where_the_platform_keeps_state() {
        let home = || Some(PathBuf::from("/home/a"));
        let place = |state: Option<&str>, macos| place_by(state.map(PathBuf::from), home(), macos).unwrap();
        assert_eq!(place(Some("/state"), false), Path::new("/state/replank/runs"));
        assert_eq!(place(None, false), Path::new("/home/a/.local/state/replank/runs"));
        assert_eq!(place(Some("relative"), false), Path::new("/home/a/.local/state/replank/runs"));
        assert_eq!(place(None, true), Path::new("/home/a/Library/Application Support/replank/runs"));
        assert!(matches!(place_by(None, None, false), Err(RunsError::NoHome)));
    }
}
