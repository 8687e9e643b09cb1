//! `cargo xtask lab`: the lab's own program, built and run.

use crate::setup::Missing;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

/// The lab's program with these words.
pub(crate) fn command(words: &[String]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--package", "replank-lab", "--"]).args(words);
    command
}

/// Builds what the lab runs, once; answers the folder with the programs.
pub(crate) fn build() -> Result<PathBuf, Missing> {
    let built = command(&["build".to_owned()]).stderr(Stdio::inherit()).output();
    let built = built.map_err(|error| Missing(format!("the lab's program could not be started: {error}")))?;
    if !built.status.success() {
        return Err(Missing("what the lab runs does not build; it said why above".to_owned()));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&built.stdout).trim()))
}

/// Hands its words on.
pub(crate) fn run(words: &[String]) -> ExitCode {
    match command(words).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("the lab's program could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}
