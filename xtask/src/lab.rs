//! `cargo xtask lab`: the lab's own program, built and run.

use std::process::{Command, ExitCode};

/// The lab's program with these words.
pub(crate) fn command(words: &[String]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--package", "replank-lab", "--"]).args(words);
    command
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
