//! `cargo xtask test`: the checks, then the tiers.

use crate::command::{self, Ended};
use crate::report::{Report, Skip};
use crate::setup;
use crate::tier::{Selection, Tier};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Runs the checks and the selected tiers, and prints the account last.
pub(crate) fn run(selection: &Selection) -> ExitCode {
    let target = target_folder();
    let mut report = Report::default();
    checks(&mut report);
    for tier in &selection.tiers {
        run_tier(*tier, selection.named, &target, &mut report);
    }
    report.close(&target);
    if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Formatting, lints and documentation, warnings denied.
fn checks(report: &mut Report) {
    let lints = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    let documentation = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    let checks = [
        ("formatting", cargo(&["fmt", "--all", "--check"])),
        ("lints", cargo(&lints)),
        ("documentation", {
            let mut command = cargo(&documentation);
            command.env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links");
            command
        }),
    ];
    for (name, mut command) in checks {
        if !command::run(&mut command).success {
            report.fail(name);
        }
    }
}

fn run_tier(tier: Tier, named: bool, target: &Path, report: &mut Report) {
    if let Err(missing) = tier.probe() {
        if named {
            report.fail(&format!("tier {}: {}", tier.name(), missing.0));
        } else {
            report.skipped.push(Skip { what: format!("tier {}", tier.name()), reason: missing.0 });
        }
        return;
    }
    if !build_programs(tier) {
        report.fail(&format!("tier {}: its programs do not build", tier.name()));
        return;
    }
    let skips = target.join("xtask/skips");
    // A file of an earlier run would be counted again.
    let _ = std::fs::remove_file(&skips);
    let kubectl = if tier == Tier::Processes { kubectl(target, report) } else { None };
    let mut ran = 0;
    for arguments in tier.commands() {
        let mut command = cargo(&arguments);
        command.env("REPLANK_TEST_SKIPS", &skips);
        if let Some(kubectl) = &kubectl {
            command.env("REPLANK_KUBECTL", kubectl);
        }
        let Ended { success, lines } = command::run(&mut command);
        let failed = report.failed;
        ran += report.take_lines(&lines);
        if !success && report.failed == failed {
            report.fail(&format!("tier {}: cargo {} failed", tier.name(), arguments.join(" ")));
        }
    }
    report.take_skips(&std::fs::read_to_string(&skips).unwrap_or_default());
    if ran == 0 {
        report.fail(&format!("tier {}: no test ran", tier.name()));
    }
}

fn kubectl(target: &Path, report: &mut Report) -> Option<PathBuf> {
    match setup::kubectl(target) {
        Ok(path) => Some(path),
        Err(missing) => {
            // What can be installed is installed: a machine where it can't be has a fault to mend.
            report.fail(&missing.0);
            None
        }
    }
}

fn build_programs(tier: Tier) -> bool {
    let programs = tier.programs();
    if programs.is_empty() {
        return true;
    }
    let mut arguments = vec!["build"];
    for program in programs {
        arguments.extend(["--bin", program]);
    }
    command::run(&mut cargo(&arguments)).success
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}
