//! `cargo xtask test`: the checks, then the tiers.

use crate::command::{self, Ended, cargo, target_folder};
use crate::lab;
use crate::report::{Report, Skip};
use crate::setup::{self, Missing, Unfit};
use crate::tier::{Extent, Invocation, Place, Selection, Tier};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs the checks and the selected tiers, and prints the account last.
pub(crate) fn run(selection: &Selection) -> ExitCode {
    let target = target_folder();
    let mut report = Report::default();
    check("formatting", &["fmt", "--all", "--check"], &mut report);
    let ready: Vec<Ready> = report.timed("what the tests need of the machine", |report| {
        selection.tiers.iter().filter_map(|tier| ready(*tier, selection, &target, report)).collect()
    });
    // Compilers that wait for one large crate, and tests that wait for Leases and the like, leave it half of the
    // processors' time.
    let _in_the_background =
        ready.iter().any(Ready::has_labs).then(|| lab::Building::begin(selection.extent, &target));
    check("lints", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"], &mut report);
    check("documentation", &["doc", "--workspace", "--no-deps", "--document-private-items"], &mut report);
    // Before the first test runs: tests start programs of other packages.
    if check("programs and tests", &["build", "--workspace", "--all-targets"], &mut report) {
        for tier in ready {
            report.timed(&format!("tier {}", tier.tier.name()), |report| {
                run_tier(&tier, &target, report);
            });
        }
    }
    report.close(&target);
    if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What must be so before any test runs, warnings denied.
fn check(name: &str, arguments: &[&str], report: &mut Report) -> bool {
    report.timed(name, |report| {
        let mut command = cargo(arguments);
        command.env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links");
        let success = command::run(&mut command).success;
        if !success {
            report.fail(name);
        }
        success
    })
}

/// A tier that can run, with what it needs.
struct Ready {
    tier: Tier,
    extent: Extent,
    /// Programs of others that its tests are told of, by the variable that names each.
    given: Vec<(&'static str, PathBuf)>,
    /// Whether this machine can have the labs that some of its tests need.
    labs: Result<(), Missing>,
}

impl Ready {
    fn has_labs(&self) -> bool {
        self.labs.is_ok() && self.tier.has_labs()
    }
}

/// Installs what a tier needs, before any of them runs: apt works for one at a time. None where it can't run.
fn ready(tier: Tier, selection: &Selection, target: &Path, report: &mut Report) -> Option<Ready> {
    match tier.probe() {
        Ok(()) => {}
        Err(Unfit::Lacks(missing)) if !selection.named => {
            report.skipped.push(Skip { what: format!("tier {}", tier.name()), reason: missing.0 });
            return None;
        }
        Err(Unfit::Lacks(missing) | Unfit::Broken(missing)) => {
            report.fail(&format!("tier {}: {}", tier.name(), missing.0));
            return None;
        }
    }
    // Tests tell in a sentence what they lack, and are counted as not run.
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
    let given = match tier {
        Tier::Fast => setup::cloud_init(target).map(|path| ("REPLANK_CLOUD_INIT", path)),
        Tier::Processes => kubectl(target, report).map(|path| ("REPLANK_KUBECTL", path)),
        Tier::Providers => setup::moto().map(|path| ("REPLANK_MOTO", path)),
        Tier::Lab => None,
    };
    // The lab's own tier was probed as a whole.
    let labs = if tier != Tier::Lab && tier.has_labs() { labs(tier, report) } else { Ok(()) };
    Some(Ready { tier, extent: selection.extent, given: given.into_iter().collect(), labs })
}

/// Whether this machine can have labs; what could not be installed is a failure of the tier.
fn labs(tier: Tier, report: &mut Report) -> Result<(), Missing> {
    lab::probe().map_err(|unfit| match unfit {
        Unfit::Lacks(missing) => missing,
        Unfit::Broken(missing) => {
            report.fail(&format!("tier {}: {}", tier.name(), missing.0));
            missing
        }
    })
}

fn run_tier(ready: &Ready, target: &Path, report: &mut Report) {
    let name = ready.tier.name();
    let skips = match skip_file(target) {
        Ok(skips) => skips,
        Err(error) => {
            return report.fail(&format!("tier {name}: the file for skips can't be made: {error}"));
        }
    };
    let invocations = ready.tier.invocations(ready.extent);
    let ran: u64 = invocations.into_iter().map(|one| invoke(ready, one, &skips, report)).sum();
    report.take_skips(&std::fs::read_to_string(&skips).unwrap_or_default());
    if ran == 0 {
        report.fail(&format!("tier {name}: no test ran"));
    }
}

/// Answers how many tests ran.
fn invoke(
    ready: &Ready,
    Invocation { arguments, place }: Invocation,
    skips: &Path,
    report: &mut Report,
) -> u64 {
    let shown = format!("tier {}: cargo {}", ready.tier.name(), arguments.join(" "));
    let mut command = cargo(&arguments);
    command.env("REPLANK_TEST_SKIPS", skips).envs(ready.given.iter().map(|(name, path)| (name, path)));
    match (place, &ready.labs) {
        (Place::Anywhere, _) => {}
        (Place::Lab, Err(missing)) => {
            report.skipped.push(Skip { what: shown, reason: missing.0.clone() });
            return 0;
        }
        // Beforehand, and not in the time of the first test.
        (Place::Lab, Ok(())) => match lab::build(ready.extent) {
            // The contract suite is run against the real server too.
            Ok(programs) => drop(command.env("REPLANK_REAL_BIN", programs)),
            Err(missing) => {
                report.fail(&format!("{shown}: {}", missing.0));
                return 0;
            }
        },
    }
    let Ended { success, lines } = command::run(&mut command);
    let failed = report.failed;
    let ran = report.take_lines(&lines);
    if !success && report.failed == failed {
        report.fail(&format!("{shown} failed"));
    }
    ran
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
