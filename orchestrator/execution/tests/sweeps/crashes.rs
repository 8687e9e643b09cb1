//! A run that is killed at every record, on either side of its write, and started again.
//!
//! Covered, for the planner's `rolling` migration of three control planes and three workers:
//! - one world in which every record that a run writes kills a process twice: once before the record is on
//!   disk, and once after it, before the act that follows;
//! - [`PARTS`] worlds, each with the same for one part of the records, so that what is between two kills
//!   goes its ordinary way; together the parts are all records;
//! - for every [`ALONE`]th line of the journal a world that is killed there and nowhere else.
//!
//! And one world for `cutover`, killed at every record on both sides. A record is what it says (which step,
//! which kind, waiting for what, what was learned), not its place in the file: what a second process
//! writes again is the same record. Each test ends with a cluster equal to that of a run that nothing
//! ended, and with each effect on machines and objects once.

use crate::world::{cluster, effects, essence, journal, planned, process};
use replank_execution::journal::{CrashPoint, CrashingJournal, Journal, JournalError, Side};
use replank_execution::{Outcome, RunError};
use replank_planning::intent::Strategy;
use replank_simulator::observer::{Effects, effects::Repeated};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// In how many parts the records are killed at.
const PARTS: usize = 4;
/// Every so many lines of the journal there is a world that is killed there only.
const ALONE: usize = 40;

/// What a record says.
fn identity(line: &[u8]) -> String {
    let line: Value = serde_json::from_slice(line).expect("a journal's line is JSON");
    let record = &line["record"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if record.is_null() {
        return "header".to_owned();
    }
    let waiting = word(&record["waiting"]["code"]);
    let learned = word(&record["learned"]["fact"]);
    format!("{} {} {waiting}{learned}", word(&record["record"]), word(&record["step"]))
}

/// Which of the parts a record belongs to.
fn part(identity: &str) -> usize {
    identity.bytes().fold(5381_usize, |hash, byte| hash.wrapping_mul(33) ^ usize::from(byte)) / 7 % PARTS
}

/// At which records processes were ended so far, on which side.
type Kills = Arc<Mutex<BTreeSet<(String, Side)>>>;

/// Ends the process at each record's first write, and at its second one on the other side.
struct Deadly {
    inner: Box<dyn Journal>,
    kills: Kills,
    only: Option<usize>,
    dead: bool,
}

impl Deadly {
    fn kills_at(&self, identity: &str, side: Side) -> bool {
        self.only.is_none_or(|only| part(identity) == only)
            && self.kills.lock().unwrap().insert((identity.to_owned(), side))
    }
}

impl Journal for Deadly {
    fn append(&mut self, line: &[u8]) -> Result<(), JournalError> {
        let identity = identity(line);
        if self.dead || self.kills_at(&identity, Side::Before) {
            self.dead = true;
            return Err(JournalError::Crashed);
        }
        self.inner.append(line)?;
        if self.kills_at(&identity, Side::After) {
            self.dead = true;
            return Err(JournalError::Crashed);
        }
        Ok(())
    }
}

/// A cluster after its run.
#[derive(Debug, PartialEq)]
struct Ended {
    essence: BTreeMap<String, Value>,
    machines: BTreeMap<String, usize>,
    repeated: Vec<Repeated>,
    pods_sent_twice: Vec<String>,
}

impl Ended {
    /// Equal, or the first differences.
    fn must_be(&self, wanted: &Self, what: &str) {
        let keys: BTreeSet<&String> = self.essence.keys().chain(wanted.essence.keys()).collect();
        let differ = keys.into_iter().filter(|key| self.essence.get(*key) != wanted.essence.get(*key));
        let differ: Vec<String> = differ
            .map(|key| format!("{key}: {:?}\n  not {:?}", self.essence.get(key), wanted.essence.get(key)))
            .collect();
        assert!(differ.is_empty(), "{what}:\n{}", differ.join("\n"));
        assert_eq!(self.machines, wanted.machines, "{what}");
        assert_eq!(self.repeated, wanted.repeated, "{what}");
        assert_eq!(self.pods_sent_twice, wanted.pods_sent_twice, "{what}");
    }
}

/// How processes end before the run does.
#[derive(Clone)]
enum Fate {
    Unhurt,
    Once(CrashPoint),
    Again { kills: Kills, only: Option<usize> },
}

/// A whole migration, with as many processes as it takes; the lines of its journal and what is there then.
async fn run(strategy: Strategy, fate: Fate) -> (Vec<String>, Ended) {
    let cluster = cluster(3, 3, 20).await;
    let plan = planned(&cluster, strategy).await;
    let directory = tempfile::tempdir().unwrap();
    let mut watched = Effects::of("replank", &cluster.server);
    let mut deaths = 0;
    let outcome = loop {
        let fate = fate.clone();
        let ended = process(&cluster, &plan, directory.path(), move |inner| match fate {
            Fate::Once(at) if deaths == 0 => Box::new(CrashingJournal::new(inner, at)),
            Fate::Unhurt | Fate::Once(_) => inner,
            Fate::Again { kills, only } => Box::new(Deadly { inner, kills, only, dead: false }),
        });
        match ended.await {
            Err(RunError::Journal(JournalError::Crashed)) => deaths += 1,
            ended => break ended,
        }
        watched.catch_up();
        assert!(deaths < 3000, "no end: {}", journal(directory.path()));
    };
    assert_eq!(outcome.unwrap(), Outcome::Finished, "{}", journal(directory.path()));
    watched.catch_up();
    let lines = journal(directory.path()).lines().map(|line| identity(line.as_bytes())).collect();
    let mut sent = BTreeSet::new();
    let twice = watched.pods().iter().filter(|pod| !sent.insert(pod.uid.clone()));
    let pods_sent_twice = twice.map(|pod| pod.pod.clone()).collect();
    let ended = Ended {
        essence: essence(&cluster),
        machines: effects(&cluster),
        repeated: watched.repeated(),
        pods_sent_twice,
    };
    (lines, ended)
}

/// Killed at the records of one part, or at all; equal to a run that was not.
async fn killed(strategy: Strategy, only: &[Option<usize>]) {
    let (lines, wanted) = run(strategy, Fate::Unhurt).await;
    assert!(wanted.repeated.is_empty(), "even unhurt: {:#?}", wanted.repeated);
    for only in only {
        let kills = Kills::default();
        let (_, ended) = run(strategy, Fate::Again { kills: kills.clone(), only: *only }).await;
        let kills = kills.lock().unwrap();
        for line in lines.iter().filter(|line| only.is_none_or(|only| part(line) == only)) {
            for side in [Side::Before, Side::After] {
                // A wait or failure that time has made needless is not told.
                let fleeting = line.starts_with("waiting") || line.starts_with("failed");
                assert!(fleeting || kills.contains(&(line.clone(), side)), "not killed {side:?} {line}");
            }
        }
        ended.must_be(&wanted, &format!("{strategy:?}, part {only:?}, {} kills", kills.len()));
    }
}

/// Killed once, at every [`ALONE`]th line from the `first` on.
async fn killed_once(side: Side, first: usize) {
    let (lines, wanted) = run(Strategy::Rolling, Fate::Unhurt).await;
    for line in (first..=lines.len()).step_by(ALONE) {
        let at = CrashPoint { line: line as u64, side };
        let (_, ended) = run(Strategy::Rolling, Fate::Once(at)).await;
        ended.must_be(&wanted, &format!("{at:?}, {}", lines[line - 1]));
    }
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_record_on_both_sides_it_ends_as_if_it_had_not_been() {
    killed(Strategy::Rolling, &[None]).await;
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_record_of_some_parts() {
    killed(Strategy::Rolling, &[Some(0), Some(1)]).await;
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_record_of_the_other_parts() {
    killed(Strategy::Rolling, &[Some(2), Some(3)]).await;
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_record_a_cutover_ends_as_if_it_had_not_been() {
    killed(Strategy::Cutover, &[None]).await;
}

#[tokio::test(start_paused = true)]
async fn killed_before_one_record() {
    killed_once(Side::Before, 3).await;
}

#[tokio::test(start_paused = true)]
async fn killed_after_one_record() {
    killed_once(Side::After, 23).await;
}
