//! Programs that judge what this crate writes, and what is said where they are missing.

#![allow(dead_code, reason = "each suite uses its own of them")]

pub(crate) mod cloud_init;

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Whether a program can be started; where it can't, the test that needs it is reported as not run.
pub(crate) fn there(test: &str, program: &str, package: &str) -> bool {
    let started = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if started.is_ok() {
        return true;
    }
    skip(test, &format!("there is no {program}: install {package}"));
    false
}

/// Tells `cargo xtask test` that a test did not run.
#[allow(clippy::print_stderr, reason = "a test that did not run says so")]
pub(crate) fn skip(test: &str, reason: &str) {
    eprintln!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os("REPLANK_TEST_SKIPS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        writeln!(file.expect("the report opens"), "{test}\t{reason}").expect("the report is written");
    }
}
