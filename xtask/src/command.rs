//! Running programs with their output passed on, and read on the way.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// How a program ended and what it printed to standard output.
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) lines: Vec<String>,
}

/// Runs a program, prints what it prints, and keeps its standard output.
pub(crate) fn run(command: &mut Command) -> Ended {
    println!("+ {}", shown(command));
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("{} could not be started: {error}", shown(command));
            return Ended { success: false, lines: Vec::new() };
        }
    };
    let mut lines = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            lines.push(line);
        }
    }
    let success = child.wait().is_ok_and(|status| status.success());
    Ended { success, lines }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
