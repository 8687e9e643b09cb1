//! An API server that is away, silent, slow or forgetful: a run waits with a reason and ends done.

use crate::support::operator::WHOLE;
use crate::support::program::eventually;
use crate::support::{Operator, Program, SMALL, Simulator};
use std::time::Duration;

/// How long the server is away.
const AWAY: Duration = Duration::from_mins(1);

/// A run that has begun to replace nodes.
fn under_way(simulator: &Simulator) -> (Operator<'_>, Program) {
    let operator = Operator::new(simulator).planned();
    let mut run = operator.apply();
    eventually("the run gets on", Duration::from_secs(120), || {
        assert!(!run.has_ended(), "{}", run.err());
        (operator.lines() > 30).then_some(())
    });
    (operator, run)
}

/// Waits until `replank status` tells one of these reasons; then for the rest of the outage.
fn tells(operator: &Operator<'_>, codes: &[&str]) {
    let begun = std::time::Instant::now();
    // A request that gets no answer is given up after a minute.
    let waiting = eventually("the status tells why", AWAY * 3 / 2, || {
        let waiting = operator.status()["waitingFor"].clone();
        codes.iter().any(|code| waiting["code"] == *code).then_some(waiting)
    });
    assert!(waiting["message"].as_str().is_some_and(|message| !message.is_empty()), "{waiting}");
    assert!(waiting["since"].is_string(), "{waiting}");
    std::thread::sleep(AWAY.saturating_sub(begun.elapsed()));
}

fn ends_done(simulator: Simulator, mut run: Program, excused: &[&str]) {
    run.ends_within(WHOLE).with(0);
    simulator.is_migrated_excused(excused);
    simulator.stop();
}

#[test]
fn the_api_server_is_away_for_a_minute_for_everybody() {
    let simulator = Simulator::start(SMALL);
    let (operator, run) = under_way(&simulator);
    simulator.raise("api-server-away");
    tells(&operator, &["apiServer", "lockNotRenewed", "provider"]);
    simulator.lift("api-server-away");
    // Kubelets could not report either.
    ends_done(simulator, run, &["ready-nodes"]);
}

#[test]
fn the_api_server_gives_replank_no_answer_for_a_minute() {
    let simulator = Simulator::start(SMALL);
    let (operator, run) = under_way(&simulator);
    simulator.raise("no-answer:client=replank");
    tells(&operator, &["apiServer", "lockNotRenewed"]);
    simulator.lift("no-answer");
    ends_done(simulator, run, &[]);
}

#[test]
fn every_watch_ends_after_five_seconds() {
    let simulator = Simulator::start(SMALL);
    simulator.raise("watch-ends:delay=5s");
    let (_operator, run) = under_way(&simulator);
    ends_done(simulator, run, &[]);
}

#[test]
fn every_answer_takes_two_seconds() {
    let simulator = Simulator::start(SMALL);
    let (_operator, run) = under_way(&simulator);
    simulator.raise("slow:delay=2s");
    std::thread::sleep(AWAY);
    simulator.lift("slow");
    ends_done(simulator, run, &[]);
}
