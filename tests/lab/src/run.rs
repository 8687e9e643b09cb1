//! Other programs, run to their end.

use crate::error::{LabError, Result};
use std::process::{Command, Output, Stdio};

/// How much of a program's complaint an error carries.
const MOST_SAID: usize = 2000;

/// A command from its words.
pub fn command(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}

/// Runs a program to its end, whatever that is.
pub fn output(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).output().map_err(|source| LabError::Start { program, source })
}

/// Runs a program that must succeed; answers what it printed.
pub fn succeed(what: &str, command: &mut Command) -> Result<String> {
    let output = output(command)?;
    checked(what, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A failure, if it is one.
pub fn checked(what: &str, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = if said.trim().is_empty() { String::from_utf8_lossy(&output.stdout) } else { said };
    let from = said.trim().char_indices().rev().nth(MOST_SAID).map_or(0, |(at, _)| at);
    Err(LabError::Failed {
        what: what.to_owned(),
        status: output.status.code().unwrap_or(-1),
        said: said.trim()[from..].to_owned(),
    })
}
