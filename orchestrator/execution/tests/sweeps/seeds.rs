//! Two hundred seeds of random faults. `REPLANK_SEED=N` runs that seed alone, `REPLANK_SEED=N..M` others
//! than the two hundred.

use crate::misfortunes::{LASTING, Misfortune, Story, story};
use crate::world::{cluster, journal, migrate, planned};
use replank_execution::Outcome;
use replank_simulator::machines::MachineState;
use replank_simulator::observer::{
    Observer, Violation, aftermath, came, changed, inventory::Inventory, leftovers,
};
use replank_simulator::scenario::Cluster;
use replank_simulator::schema::builtin::NODES;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

const SEED: &str = "REPLANK_SEED";

/// No run takes longer, in the cluster's time: the longest wait that a run gives up is a fraction of it.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Raises faults when their time comes; never ends.
async fn misfortunes(cluster: &Cluster, all: Vec<Misfortune>) {
    let raise = all.into_iter().map(|misfortune| async move {
        tokio::time::sleep(misfortune.at).await;
        cluster.server.faults().raise(misfortune.fault.clone());
    });
    futures::future::join_all(raise).await;
    std::future::pending::<()>().await;
}

/// A run with faults that come meanwhile, and an observer that looks at everything.
async fn observed(
    cluster: &Cluster,
    observer: &mut Observer,
    run: impl Future<Output = Outcome>,
    faults: Vec<Misfortune>,
) -> Outcome {
    let outcome = tokio::select! {
        biased;
        () = observer.watch() => None,
        outcome = run => Some(outcome),
        () = misfortunes(cluster, faults) => unreachable!("it never ends"),
        () = tokio::time::sleep(NEVER) => panic!("the run does not end"),
    };
    outcome.unwrap_or_else(|| panic!("two machines of one name: {:?}", observer.violations()))
}

fn violations(
    cluster: &Cluster,
    observer: &mut Observer,
    before: &BTreeSet<String>,
    directory: &Path,
) -> Vec<Violation> {
    let texts = [("journal".to_owned(), journal(directory))];
    let mut found = observer.violations();
    found.extend(aftermath::evictions(&cluster.server, "replank"));
    found.extend(aftermath::effects(&cluster.datacenter));
    found.extend(aftermath::destroyed(&cluster.datacenter, before));
    found.extend(aftermath::secrets(&texts));
    found
}

/// How a seed's life went.
struct Lived {
    /// The fault that did not pass by itself, and how often it struck.
    lasting: Option<(String, u64)>,
    paused: bool,
}

/// The fault is over: what it broke for good is mended too.
fn lift(cluster: &Cluster) {
    cluster.server.faults().lift_all();
    let nodes = cluster.server.direct("mender").list(&NODES, None);
    let of_a_node = |uuid: &str| nodes.iter().any(|n| n["status"]["nodeInfo"]["systemUUID"] == *uuid);
    let machines = cluster.datacenter.machines().into_iter();
    for died in machines.filter(|m| m.state == MachineState::Failed && of_a_node(&m.system_uuid)) {
        cluster.datacenter.revive(&died.id).unwrap();
    }
}

async fn live(story: Story) -> Lived {
    let (control_planes, workers, pods) = story.size;
    let cluster = cluster(control_planes, workers, pods).await;
    let plan = planned(&cluster, story.strategy).await;
    let directory = tempfile::tempdir().unwrap();
    let before: BTreeSet<String> = cluster.datacenter.machines().into_iter().map(|m| m.id).collect();
    let mut observer = Observer::new(&cluster.server, &cluster.datacenter);
    let faults = story.passing.iter().chain(&story.lasting).cloned().collect();
    let run = migrate(&cluster, &plan, directory.path());
    let mut outcome = Box::pin(observed(&cluster, &mut observer, run, faults)).await;
    let mut paused = false;
    let told = || {
        format!("seed {} ({SEED}={0} for it alone): {story:#?}\n{}", story.seed, journal(directory.path()))
    };
    let broken = violations(&cluster, &mut observer, &before, directory.path());
    assert!(broken.is_empty(), "{broken:#?}\n{}", told());
    if let Outcome::Paused { reason, .. } = &outcome {
        assert!(story.lasting.is_some(), "paused, though every fault passes: {reason}\n{}", told());
        assert!(!reason.to_string().is_empty());
        paused = true;
        lift(&cluster);
        let run = migrate(&cluster, &plan, directory.path());
        outcome = Box::pin(observed(&cluster, &mut observer, run, Vec::new())).await;
    }
    assert_eq!(outcome, Outcome::Finished, "{}", told());
    let mut broken = violations(&cluster, &mut observer, &before, directory.path());
    broken.extend(aftermath::orphans(&cluster.server, &cluster.datacenter));
    assert!(broken.is_empty(), "{broken:#?}\n{}", told());
    let after = Inventory::of(&cluster.objects());
    let left =
        leftovers(&Inventory::of(&cluster.before_network), &Inventory::of(&cluster.with_network), &after);
    assert!(left.is_empty(), "{left:#?}\n{}", told());
    let touched = changed(&cluster.bystanders(), &after);
    assert!(touched.is_empty(), "{touched:#?}\n{}", told());
    let flannels = after.keys().filter(|key| key.contains("flannel")).cloned().collect();
    let others = came(&Inventory::of(&cluster.before_run), &after, &flannels);
    assert!(others.is_empty(), "{others:#?}\n{}", told());
    assert_eq!(cluster.datacenter.machines().len(), 2 * (control_planes + workers), "{}", told());
    let struck = |misfortune: &Misfortune| {
        let name = misfortune.fault.name.clone();
        let times = cluster.server.faults().struck(&name);
        (name, times)
    };
    Lived { lasting: story.lasting.as_ref().map(struck), paused }
}

/// The seeds that are lived through: those asked for, or two hundred.
fn seeds() -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var(SEED) else { return 0..200 };
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{SEED} is N or N..M, not {asked}"));
    match asked.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&asked)..number(&asked) + 1,
    }
}

/// What the lives of all seeds came to.
#[derive(Default)]
struct Sweep {
    broke: Vec<u64>,
    lived: BTreeMap<u64, Lived>,
}

/// Lives through seeds until there are no more, each in a thread of its own with its own clock.
fn live_on(waiting: &Mutex<std::ops::Range<u64>>, sweep: &Mutex<Sweep>) {
    loop {
        let next = waiting.lock().unwrap().next();
        let Some(seed) = next else { return };
        let lived = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            runtime.expect("a runtime can be made").block_on(Box::pin(live(story(seed))))
        });
        match lived.join() {
            Ok(lived) => drop(sweep.lock().unwrap().lived.insert(seed, lived)),
            Err(_) => sweep.lock().unwrap().broke.push(seed),
        }
    }
}

/// What a fault that lasts did to the runs in which it was raised.
#[derive(Clone, Debug, Default)]
struct Count {
    seeds: Vec<u64>,
    struck: u32,
    paused: u32,
}

#[allow(clippy::print_stderr, reason = "a test's own output")]
fn counted(sweep: &Sweep) -> BTreeMap<&'static str, Count> {
    let mut counts: BTreeMap<&str, Count> =
        LASTING.into_iter().map(|name| (name, Count::default())).collect();
    for (seed, lived) in &sweep.lived {
        let Some((name, struck)) = &lived.lasting else { continue };
        let count = counts.get_mut(name.as_str()).expect("it is one of them");
        count.seeds.push(*seed);
        count.struck += u32::from(*struck > 0);
        count.paused += u32::from(lived.paused);
        if *struck > 0 && !lived.paused {
            eprintln!("seed {seed}: {name} struck {struck} times, and the run went on");
        }
    }
    for (name, Count { seeds, struck, paused }) in &counts {
        eprintln!("{name}: {struck} of {} runs were struck, {paused} paused; seeds {seeds:?}", seeds.len());
    }
    counts
}

/// Every fault that lasts paused some run, and nearly all that it struck: a few strike where it no longer
/// matters.
fn paused_by_what_lasts(counts: &BTreeMap<&'static str, Count>) {
    let idle: Vec<_> = counts.iter().filter(|(_, count)| count.paused == 0).collect();
    assert!(idle.is_empty(), "lasting faults that paused no run: {idle:?}");
    let sum = |of: fn(&Count) -> u32| counts.values().map(of).sum::<u32>();
    let (struck, paused) = (sum(|count| count.struck), sum(|count| count.paused));
    assert!(paused * 10 >= struck * 9, "of {struck} runs that were struck only {paused} paused");
}

#[test]
fn faults_of_two_hundred_seeds_break_nothing() {
    let (waiting, sweep) = (Mutex::new(seeds()), Mutex::default());
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| live_on(&waiting, &sweep));
        }
    });
    let sweep = sweep.into_inner().unwrap();
    let counts = counted(&sweep);
    assert!(sweep.broke.is_empty(), "broken by the seeds {:?}; one alone: {SEED}=N", sweep.broke);
    if std::env::var_os(SEED).is_none() {
        paused_by_what_lasts(&counts);
    }
}
