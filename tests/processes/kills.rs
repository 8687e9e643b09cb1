//! Killed at any moment and started again, a run ends as if it had not been.

use crate::support::operator::WHOLE;
use crate::support::program::send_all;
use crate::support::{Chance, Operator, Program, SMALL, Simulator};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// After how many new records at most a process is killed, and how much later than that.
const RECORDS: u64 = 5;
const LATER: Duration = Duration::from_millis(150);
/// When nothing is recorded it is killed all the same: sometimes soon, mostly when the wait is over.
const SOON: Duration = Duration::from_millis(1500);
const LATE: Duration = Duration::from_secs(20);

/// Kills something of a run until it was killed often enough, in as many migrations as that takes; each
/// must succeed. `strike` returns once it has killed, or the run has ended.
fn until_killed(
    story: &str,
    wanted: u32,
    mut strike: impl FnMut(&mut Chance, &Operator<'_>, &mut Program) -> u32,
) {
    let mut chance = Chance::new(story);
    let mut killed = 0;
    while killed < wanted {
        let simulator = Simulator::start(SMALL);
        let operator = Operator::new(&simulator).planned();
        let begun = Instant::now();
        let mut run = operator.apply();
        loop {
            assert!(begun.elapsed() < WHOLE, "killed {killed} times, and it does not end");
            if run.has_ended() {
                let ended = run.ends_within(Duration::ZERO);
                match ended.status {
                    0 => break,
                    // Killed, or paused because its provider died again and again: the same command goes on.
                    -9 | 4 => run = operator.apply(),
                    _ => panic!("killed {killed} times: {ended:?}"),
                }
            } else if killed < wanted {
                killed += strike(&mut chance, &operator, &mut run);
            } else {
                run.ends_within(WHOLE).with(0);
            }
        }
        simulator.is_migrated();
        simulator.stop();
    }
}

/// Waits for a random moment: some records from now, or some time in which nothing is recorded.
fn moment(chance: &mut Chance, operator: &Operator<'_>, run: &mut Program) {
    let lines = operator.lines() as u64 + chance.below(RECORDS);
    let soon = chance.below(4) == 0;
    let until = Instant::now() + chance.up_to(if soon { SOON } else { LATE });
    while (operator.lines() as u64) < lines && Instant::now() < until && !run.has_ended() {
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(chance.up_to(LATER));
}

fn kill_apply(story: &str) {
    until_killed(story, 50, |chance, operator, run| {
        moment(chance, operator, run);
        u32::from(run.kill().is_none())
    });
}

#[test]
fn apply_is_killed_fifty_times() {
    kill_apply("apply is killed");
}

#[test]
fn apply_is_killed_fifty_times_more() {
    kill_apply("apply is killed once more");
}

#[test]
fn the_plugin_is_killed_fifty_times() {
    until_killed("the plugin is killed", 50, |chance, operator, run| {
        // It lives from one call on; killed between two calls, it is started again by the second.
        let lines = operator.lines();
        while run.children().is_empty() && !run.has_ended() {
            std::thread::sleep(Duration::from_millis(10));
        }
        while operator.lines() == lines && !run.has_ended() && chance.below(100) > 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(chance.up_to(LATER));
        let plugins = run.children();
        send_all(&plugins, Signal::KILL);
        u32::from(!plugins.is_empty())
    });
}

#[test]
fn both_are_killed_twenty_times() {
    until_killed("both are killed", 20, |chance, operator, run| {
        moment(chance, operator, run);
        let plugins = run.children();
        let first = chance.below(2) == 0;
        let kill_plugins = || send_all(&plugins, Signal::KILL);
        if first {
            kill_plugins();
            std::thread::sleep(chance.up_to(Duration::from_millis(20)));
        }
        let killed = run.kill().is_none();
        if !first {
            kill_plugins();
        }
        u32::from(killed && !plugins.is_empty())
    });
}
