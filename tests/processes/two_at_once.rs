//! Two that want to carry out one plan: never two actors.

use crate::support::operator::WHOLE;
use crate::support::program::{eventually, send_all};
use crate::support::{Chance, Operator, Program, SMALL, Simulator};
use rustix::process::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long a Lease holds: nobody else may act before.
const LEASE: Duration = Duration::from_secs(30);

/// Waits until a run's journal has so many lines.
fn reaches(operator: &Operator<'_>, run: &mut Program, lines: usize) {
    eventually("the run gets on", Duration::from_secs(120), || {
        assert!(!run.has_ended(), "the run ended early: {}", run.err());
        (operator.lines() >= lines).then_some(())
    });
}

/// The epochs in a journal, in order, each once.
fn epochs(operator: &Operator<'_>) -> Vec<u64> {
    let text = operator.journal_text();
    let mut epochs: Vec<u64> =
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()?["epoch"].as_u64()).collect();
    epochs.dedup();
    epochs
}

fn waits(operator: &Operator<'_>, code: &str) -> bool {
    operator.journal_text().contains(&format!("\"code\":\"{code}\""))
}

#[test]
fn a_second_apply_in_the_same_directory_is_refused_and_a_killed_one_takes_its_lock_back_at_once() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let mut first = operator.apply();
    reaches(&operator, &mut first, 8);
    let second = operator.apply().ends_within(Duration::from_secs(20));
    second.with(1).says("is in use by another replank process on this machine");
    first.kill();
    let (lines, before) = (operator.lines(), epochs(&operator));
    let again = Instant::now();
    let mut third = operator.apply();
    reaches(&operator, &mut third, lines + 2);
    assert!(again.elapsed() < LEASE / 3, "it waited {:?} for its own lock", again.elapsed());
    assert_eq!(epochs(&operator).last(), before.last().map(|epoch| epoch + 1).as_ref());
    assert!(!waits(&operator, "lockHeld"));
    third.ends_within(WHOLE).with(0);
    let finished = operator.journal_text();
    operator.applies().with(0);
    assert_eq!(operator.journal_text(), finished, "a finished run changes nothing");
    simulator.is_migrated();
    simulator.stop();
}

#[test]
fn a_copy_elsewhere_waits_the_lease_out_and_says_so() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let mut first = operator.apply();
    reaches(&operator, &mut first, 20);
    first.kill();
    let elsewhere = operator.elsewhere();
    let lines = elsewhere.lines();
    let begun = Instant::now();
    let mut second = elsewhere.apply();
    eventually("it says what it waits for", LEASE / 2, || waits(&elsewhere, "lockHeld").then_some(()));
    reaches(&elsewhere, &mut second, lines + 2);
    assert!(begun.elapsed() > LEASE / 2, "it took the lock after {:?}", begun.elapsed());
    second.ends_within(WHOLE).with(0);
    simulator.is_migrated();
    // The copy that stayed behind knows less than what was done.
    let behind = operator.journal_text();
    let refused = operator.applies();
    assert_ne!(refused.status, 0, "{refused:?}");
    assert!(refused.err.contains("older"), "{refused:?}");
    assert_eq!(
        operator.journal_text().lines().count(),
        behind.lines().count(),
        "{}",
        operator.journal_text()
    );
    simulator.is_migrated();
    simulator.stop();
}

#[test]
fn of_two_that_begin_at_once_one_acts() {
    let simulator = Simulator::start(SMALL);
    let one = Operator::new(&simulator).planned();
    let other = one.elsewhere();
    let (mut first, mut second) = (one.apply(), other.apply());
    let (first, second) = (first.ends_within(WHOLE), second.ends_within(WHOLE));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    // The other one learns that the run is carried out elsewhere.
    assert_eq!(statuses, [0, 1], "{first:?}\n{second:?}");
    let refused = if first.status == 0 { second } else { first };
    refused.says("this copy of the run's directory is older than what was done");
    simulator.is_migrated();
    simulator.stop();
}

#[test]
fn one_that_was_stopped_past_its_lease_does_nothing_when_it_goes_on() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let mut chance = Chance::new("stopped and continued");
    let mut first = operator.apply();
    reaches(&operator, &mut first, 20 + chance.below(60) as usize);
    std::thread::sleep(chance.up_to(Duration::from_millis(200)));
    let plugins = first.children();
    first.signal(Signal::STOP);
    send_all(&plugins, Signal::STOP);
    let elsewhere = operator.elsewhere();
    let lines = elsewhere.lines();
    let mut second = elsewhere.apply();
    reaches(&elsewhere, &mut second, lines + 2 + chance.below(10) as usize);
    let (journal, acting) = (operator.journal_text(), Instant::now());
    send_all(&plugins, Signal::CONT);
    first.signal(Signal::CONT);
    let ended = first.ends_within(Duration::from_secs(30));
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.err.contains("was taken by"), "{ended:?}");
    assert!(acting.elapsed() < LEASE);
    let begun = |text: &str| text.matches("\"record\":\"started\"").count();
    assert_eq!(begun(&operator.journal_text()), begun(&journal), "it began nothing more");
    second.ends_within(WHOLE).with(0);
    simulator.is_migrated();
    simulator.stop();
}

#[test]
fn what_an_older_epoch_still_sends_is_denied() {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let mut first = operator.apply();
    // A machine was made: the machine API has seen the epoch.
    eventually("a machine is made", Duration::from_secs(120), || {
        assert!(!first.has_ended(), "{}", first.err());
        let machines = simulator.get("/machines/v1/machines");
        machines["items"].as_array()?.iter().any(|m| !m["run"].is_null()).then_some(())
    });
    first.kill();
    let acts = || simulator.effects()["onMachines"].as_array().map_or(0, Vec::len);
    let before = acts();
    let mut again = operator.apply();
    eventually("the machine API sees the next epoch", Duration::from_secs(120), || {
        assert!(!again.has_ended(), "{}", again.err());
        (acts() > before).then_some(())
    });
    let journal = operator.journal_text();
    let header: Value = serde_json::from_str(journal.lines().next().unwrap()).unwrap();
    let (denied, machines) = (simulator.denied(), simulator.get("/machines/v1/machines"));
    let late = serde_json::json!({
        "operationId": "late", "name": "late", "epoch": 1, "cluster": header["cluster"], "run": header["run"],
    });
    let refused = simulator.refusal("POST", "/machines/v1/machines", &late);
    assert!(refused.contains("another run holds the lock"), "{refused}");
    assert_eq!(simulator.denied(), denied + 1);
    let count = |list: &Value| list["items"].as_array().map_or(0, Vec::len);
    assert!(count(&simulator.get("/machines/v1/machines")) <= count(&machines) + 1);
    again.ends_within(WHOLE).with(0);
    simulator.is_migrated();
    simulator.stop();
}

/// How long something that was sent is under way: longer than a Lease holds, so that the next one acts first.
const UNDER_WAY: &str = "45s";

/// Stops a run once a request of this kind is on its way and not yet carried out; another takes over while it
/// is; then it arrives. Says what the machine API denied meanwhile.
fn arrives_late(fault: &str, name: &str, before: usize) -> usize {
    let simulator = Simulator::start(SMALL);
    let operator = Operator::new(&simulator).planned();
    let mut first = operator.apply();
    reaches(&operator, &mut first, before);
    simulator.raise(&format!("{fault}:count=1:delay={UNDER_WAY}"));
    eventually("something is sent", Duration::from_secs(120), || {
        assert!(!first.has_ended(), "{}", first.err());
        // A fault that struck as often as it was to has lifted itself.
        simulator.faults()["raised"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let sent = Instant::now();
    let plugins = first.children();
    first.signal(Signal::STOP);
    send_all(&plugins, Signal::STOP);
    let elsewhere = operator.elsewhere();
    let lines = elsewhere.lines();
    let mut second = elsewhere.apply();
    reaches(&elsewhere, &mut second, lines + 2);
    assert!(sent.elapsed() < Duration::from_secs(44), "{name} arrived before the other one acted");
    let ended = second.ends_within(WHOLE);
    std::thread::sleep(Duration::from_secs(46).saturating_sub(sent.elapsed()));
    drop(first);
    ended.with(0);
    simulator.is_migrated();
    let denied = simulator.denied();
    simulator.stop();
    denied
}

#[test]
fn a_change_of_an_object_that_arrives_late_changes_nothing() {
    arrives_late("slow:client=replank/:verb=patch:resource=nodes", "a patch", 10);
}

#[test]
fn an_eviction_that_arrives_late_sends_nobody_away() {
    arrives_late("slow:client=replank/:verb=create:resource=pods/eviction", "an eviction", 20);
}

#[test]
fn a_node_that_is_deleted_late_is_not_the_new_one() {
    arrives_late("slow:client=replank/:verb=delete:resource=nodes", "a deletion", 20);
}

#[test]
fn a_change_of_a_machine_that_arrives_late_is_denied() {
    assert!(arrives_late("machine-api-slow", "a machine's change", 20) > 0);
}
