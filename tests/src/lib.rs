//! What the suites share. A suite that can't run something says so with [`skip`], so that
//! `cargo xtask test` counts and prints it: nothing is left out silently.

use std::io::Write as _;
use std::path::PathBuf;

/// The environment variable that names the file to which skips are appended.
pub const SKIPS: &str = "REPLANK_TEST_SKIPS";

/// Reports that a test did not run, and why.
///
/// # Panics
/// When the report can't be written: a skip that nobody hears of would be silent.
#[allow(clippy::print_stderr, reason = "a test's own output")]
pub fn skip(test: &str, reason: &str) {
    eprintln!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os(SKIPS) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        // In one piece: two tests that skip at the same moment must not write into each other's line.
        let line = format!("{test}\t{reason}\n");
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the skip report can be written");
    }
}

/// The folder with upstream's manifests, if there is one: `REPLANK_MANIFESTS`, or
/// `../shared/manifests` beside the repository.
pub fn manifests() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/manifests");
    let folder = std::env::var_os("REPLANK_MANIFESTS").map_or_else(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}
