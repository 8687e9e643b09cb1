//! Programs that judge what this crate writes, and what is said where they are missing.

#![allow(dead_code, reason = "each suite uses its own of them")]

pub(crate) mod cloud_init;

use std::process::{Command, Stdio};

/// Whether a program can be started; where it can't, the test that needs it is reported as not run.
pub(crate) fn there(test: &str, program: &str, package: &str) -> bool {
    let started = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if started.is_ok() {
        return true;
    }
    replank_tests::skip(test, &format!("there is no {program}: install {package}"));
    false
}
