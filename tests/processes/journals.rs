//! A journal that can't be written, or is not this run's.
//!
//! A full disk and a read-only one are file systems of their own (which only root may mount), the limit of
//! a file's size is for everybody, and a failing fsync is injected with strace where there is one. The same
//! failures at one certain record are stories of the engine's own, in process.

use crate::support::operator::WHOLE;
use crate::support::program::{Program, eventually, path_of};
use crate::support::{Operator, SMALL, Simulator, simulator::Size};
use replank_tests::skip;
use serde_json::Value;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Every step that has done something must have been announced: what is done and not in the journal is
/// exactly what must never be.
fn nothing_unannounced(simulator: &Simulator, operator: &Operator<'_>) {
    let journal = operator.journal_text();
    let effects = simulator.effects();
    let acts = effects["onMachines"].as_array().cloned().unwrap_or_default();
    for act in acts.iter().filter(|act| act["client"].as_str().is_some_and(|c| c.starts_with("replank"))) {
        // RUN/STEP/EFFECT, and a step's name may have a slash.
        let operation = act["operation"].as_str().unwrap_or_default();
        let step = operation.split('/').skip(1).take(2).collect::<Vec<_>>().join("/");
        let announced = journal.lines().any(|line| {
            let record = serde_json::from_str::<Value>(line).unwrap_or_default()["record"].clone();
            record["record"] == "started" && record["step"] == step.as_str()
        });
        assert!(operation.is_empty() || announced, "{act} has no record");
    }
}

fn stays_as_it_is(simulator: &Simulator) {
    let acts = |effects: &Value| (effects["onMachines"].clone(), effects["pods"].clone());
    let before = acts(&simulator.effects());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(acts(&simulator.effects()), before, "something is still done");
}

/// A small file system that goes when this is dropped.
struct Disk(PathBuf);

impl Disk {
    /// One of so many kilobytes, if this user may mount one.
    fn mount(at: &Path, kilobytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder can be made");
        let size = format!("size={kilobytes}k,mode=0700");
        let done = quiet(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "replank-test"]).arg(at));
        done.then(|| Self(at.to_owned()))
    }

    /// Takes all the room there is.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = std::fs::File::create(&ballast).expect("a file can be made");
        while file.write_all(&[0; 4096]).is_ok() {}
        ballast
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(quiet(Command::new("mount").args(["-o", &options]).arg(&self.0)), "{options}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        quiet(Command::new("umount").args(["--lazy"]).arg(&self.0));
    }
}

fn quiet(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_stops_the_run_before_the_act_and_it_goes_on_once_there_is_room() {
    let story = "a_full_disk_stops_the_run_before_the_act_and_it_goes_on_once_there_is_room";
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let Some(disk) = Disk::mount(&operator.run_dir(), 1024) else {
        skip(story, "this user may not mount a file system");
        return;
    };
    let mut run = operator.apply();
    eventually("nodes are being replaced", Duration::from_secs(120), || {
        (operator.lines() > 40).then_some(())
    });
    let ballast = disk.fill();
    run.ends_within(WHOLE).with(1).says("Make room on the disk");
    nothing_unannounced(&simulator, &operator);
    stays_as_it_is(&simulator);
    // It is still full.
    operator.applies().with(1).says("Make room on the disk");
    std::fs::remove_file(ballast).expect("room can be made");
    operator.applies().with(0);
    simulator.is_migrated();
    simulator.stop();
}

#[test]
fn a_read_only_disk_is_said_and_nothing_is_done() {
    let story = "a_read_only_disk_is_said_and_nothing_is_done";
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let Some(disk) = Disk::mount(&operator.run_dir(), 4096) else {
        skip(story, "this user may not mount a file system");
        return;
    };
    let mut run = operator.apply();
    eventually("the run gets on", Duration::from_secs(60), || (operator.lines() > 10).then_some(()));
    run.kill();
    disk.remount("ro");
    let before = operator.journal_text();
    let refused = operator.applies().with(1);
    assert!(refused.err.contains("ead-only file system"), "{refused:?}");
    assert_eq!(operator.journal_text(), before);
    stays_as_it_is(&simulator);
    disk.remount("rw");
    operator.applies().with(0);
    simulator.is_migrated();
    simulator.stop();
}

/// `replank apply` under another program.
fn apply_under(operator: &Operator<'_>, wrapper: &[&str]) -> Program {
    let line: Vec<OsString> = wrapper.iter().map(OsString::from).chain([path_of("replank").into()]).collect();
    operator.apply_by(&line)
}

#[test]
fn a_limit_of_file_sizes_stops_the_run_before_the_act() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let mut run = operator.apply();
    eventually("the run gets on", Duration::from_secs(60), || (operator.lines() > 20).then_some(()));
    run.kill();
    // As a shell limits it, with the signal ignored as a daemon's manager would; a block is 512 bytes or a
    // kilobyte, the journal is longer at its end, and what else is written then is shorter.
    let script = "trap '' XFSZ; ulimit -f 24; exec \"$@\"";
    let stopped = apply_under(&operator, &["sh", "-c", script, "sh"]).ends_within(WHOLE);
    stopped.with(1).says("could not be written");
    nothing_unannounced(&simulator, &operator);
    stays_as_it_is(&simulator);
    operator.applies().with(0);
    simulator.is_migrated();
    simulator.stop();
}

#[test]
fn an_fsync_that_fails_stops_the_run_before_the_act() {
    let story = "an_fsync_that_fails_stops_the_run_before_the_act";
    if !quiet(Command::new("strace").args(["-o", "/dev/null", "true"])) {
        skip(story, "there is no strace that may trace");
        return;
    }
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let inject = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO:when=25+",
    ];
    let stopped = apply_under(&operator, &inject).ends_within(WHOLE);
    let stopped = stopped.with(1).says("could not be written");
    assert!(stopped.err.contains("Look at the disk"), "{stopped:?}");
    nothing_unannounced(&simulator, &operator);
    stays_as_it_is(&simulator);
    operator.applies().with(0);
    simulator.is_migrated();
    simulator.stop();
}

#[test]
fn a_journal_that_is_damaged_or_anothers_is_refused_and_nothing_is_changed() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let mut run = operator.apply();
    eventually("the run gets on", Duration::from_secs(60), || (operator.lines() > 12).then_some(()));
    run.kill();
    let whole = operator.journal_text();
    let refuses_with = |status: i32, journal: String, words: &str| {
        std::fs::write(operator.journal(), &journal).expect("the journal can be written");
        operator.applies().with(status).says(words);
        assert_eq!(operator.journal_text(), journal, "the journal is as it was");
        stays_as_it_is(&simulator);
    };
    let refuses = |journal: String, words: &str| refuses_with(1, journal, words);
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    refuses(
        lines.iter().enumerate().filter(|(at, _)| *at != 4).map(|(_, l)| *l).collect(),
        "damaged at line 5",
    );
    refuses(lines[..6].concat() + "no record at all\n" + &lines[6..].concat(), "damaged at line 7");
    refuses(whole.replacen("\"attempt\":1", "\"attempt\":2", 1), "does not follow the line before it");
    refuses_with(2, lines[0].replacen("\"cluster\":\"", "\"cluster\":\"another-", 1), "belongs to");

    std::fs::write(operator.journal(), &whole).expect("the journal can be written");
    let other = Simulator::start_with(Size { ..SMALL }, &["--seed", "7"]);
    let misled = operator.apply_to(&other).ends_within(Duration::from_secs(60));
    misled.with(5).says("check --kubeconfig and --context");
    assert_eq!(operator.journal_text(), whole, "the journal is as it was");
    other.stop();
    // A torn last line is what a killed process leaves.
    std::fs::write(operator.journal(), whole + "{\"sequence\":99,\"ti").expect("the journal can be written");
    operator.applies().with(0);
    simulator.is_migrated();
    simulator.stop();
}
