//! `cargo xtask test`: the checks, then the tiers.

use crate::command::{self, Ended, cargo, target_folder};
use crate::report::{Report, Skip};
use crate::setup::{self, Missing};
use crate::tier::{Extent, Invocation, Place, Selection, Tier};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs the checks and the selected tiers, and prints the account last.
pub(crate) fn run(selection: &Selection) -> ExitCode {
    let target = target_folder();
    let mut report = Report::default();
    checks(&mut report);
    if built(&mut report) {
        for tier in &selection.tiers {
            report.timed(&format!("tier {}", tier.name()), |report| {
                run_tier(*tier, selection, &target, report)
            });
        }
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
        report.timed(name, |report| {
            if !command::run(&mut command).success {
                report.fail(name);
            }
        });
    }
}

/// Builds every program and every test before the first of them runs: tests start programs of other packages.
fn built(report: &mut Report) -> bool {
    report.timed("programs and tests", |report| {
        let built = command::run(&mut cargo(&["build", "--workspace", "--all-targets"])).success;
        if !built {
            report.fail("programs and tests do not build");
        }
        built
    })
}

fn run_tier(tier: Tier, selection: &Selection, target: &Path, report: &mut Report) {
    if let Err(missing) = tier.probe() {
        if selection.named {
            report.fail(&format!("tier {}: {}", tier.name(), missing.0));
        } else {
            report.skipped.push(Skip { what: format!("tier {}", tier.name()), reason: missing.0 });
        }
        return;
    }
    let skips = match skip_file(target) {
        Ok(skips) => skips,
        Err(error) => {
            report.fail(&format!("tier {}: the file for skips can't be made: {error}", tier.name()));
            return;
        }
    };
    // Their tests tell in a sentence what they lack, and are counted as not run.
    if matches!(tier, Tier::Fast | Tier::Providers) {
        setup::sshd();
    }
    if tier == Tier::Fast {
        setup::sudo();
        setup::mtools();
    }
    if tier == Tier::Providers {
        setup::libvirt();
    }
    let labs = labs(tier);
    let given = match given(tier, &labs, target, report) {
        Ok(given) => given,
        Err(missing) => return report.fail(&format!("tier {}: {}", tier.name(), missing.0)),
    };
    let mut ran = 0;
    for Invocation { arguments, place } in tier.invocations(selection.extent) {
        if let (Place::Lab, Err(missing)) = (place, &labs) {
            let what = format!("tier {}: cargo {}", tier.name(), arguments.join(" "));
            report.skipped.push(Skip { what, reason: missing.0.clone() });
            continue;
        }
        let mut command = cargo(&arguments);
        command.env("REPLANK_TEST_SKIPS", &skips).envs(given.iter().map(|(name, path)| (name, path)));
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

/// Whether this machine can have the labs that some of a tier's tests need; the lab's own tier was probed as a whole.
fn labs(tier: Tier) -> Result<(), Missing> {
    let has_one = |tier: Tier| tier.invocations(Extent::Usual).iter().any(|one| one.place == Place::Lab);
    let needs_one = tier != Tier::Lab && has_one(tier);
    if needs_one { crate::lab::probe() } else { Ok(()) }
}

/// Programs of others that a tier's tests are told of, by the variable that names each.
fn given(
    tier: Tier,
    labs: &Result<(), Missing>,
    target: &Path,
    report: &mut Report,
) -> Result<Vec<(&'static str, PathBuf)>, Missing> {
    let (name, path) = match tier {
        Tier::Fast => ("REPLANK_CLOUD_INIT", setup::cloud_init(target)),
        Tier::Processes => ("REPLANK_KUBECTL", kubectl(target, report)),
        Tier::Providers => {
            if labs.is_ok() {
                // Beforehand, and not in the time of the first test.
                crate::lab::build()?;
            }
            ("REPLANK_MOTO", setup::moto())
        }
        // The contract suite is run against the real server too.
        Tier::Lab => ("REPLANK_REAL_BIN", Some(crate::lab::build()?)),
    };
    Ok(path.into_iter().map(|path| (name, path)).collect())
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

/// An empty file to which the tests of a tier append what they skip; one of an earlier run would
/// be counted again.
fn skip_file(target: &Path) -> std::io::Result<PathBuf> {
    let folder = target.join("xtask");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("skips");
    std::fs::write(&path, "")?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::skip_file;
    use crate::command::target_folder;

    #[test]
    fn skips_are_reported_from_any_folder_to_an_empty_file_that_exists() {
        assert!(target_folder().is_absolute());
        let target = std::env::temp_dir().join(format!("replank-xtask-{}", std::process::id()));
        let path = skip_file(&target).expect("the file can be made");
        std::fs::write(&path, "an earlier run").expect("it can be written");
        let again = skip_file(&target).expect("the file can be made again");
        assert_eq!(std::fs::read_to_string(again).expect("it can be read"), "");
        std::fs::remove_dir_all(target).expect("it can be removed");
    }
}
