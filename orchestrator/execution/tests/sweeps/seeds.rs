//! Two hundred seeds of random faults. `REPLANK_SEED=N` runs that seed alone, `REPLANK_SEED=N..M` others
//! than the two hundred.

use crate::world::{cluster, journal, migrate, planned};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use replank_execution::Outcome;
use replank_planning::intent::Strategy;
use replank_simulator::faults::Fault;
use replank_simulator::observer::{Observer, Violation, aftermath, changed, inventory::Inventory, leftovers};
use replank_simulator::scenario::Cluster;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

const SEED: &str = "REPLANK_SEED";

/// No run takes longer, in the cluster's time: the longest wait that a run gives up is a fraction of it.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// A fault, and when it comes.
#[derive(Clone, Debug)]
struct Misfortune {
    fault: Fault,
    at: Duration,
}

/// What a seed stands for.
#[derive(Debug)]
struct Story {
    seed: u64,
    size: (usize, usize, usize),
    strategy: Strategy,
    passing: Vec<Misfortune>,
    lasting: Option<Misfortune>,
}

fn pick<T: Copy>(random: &mut ChaCha8Rng, from: &[T]) -> T {
    from[random.random_range(0..from.len())]
}

/// A fault that passes by itself: it strikes now and then, or a few times.
fn passing(random: &mut ChaCha8Rng) -> Fault {
    match random.random_range(0..10) {
        0..5 => {
            let names = [
                "too-many-requests",
                "internal-error",
                "unavailable",
                "conflict",
                "dropped-connection",
                "lost-response",
            ];
            let fault = Fault::named(pick(random, &names));
            // At a rate it strikes us alone: nodes whose kubelets can't renew their leases are not ready.
            match random.random_range(0..3) {
                0 => fault.client("replank").rate(random.random_range(0.02..0.25)),
                1 => fault.client("replank").count(random.random_range(1..8)),
                _ => fault.count(random.random_range(1..8)),
            }
        }
        5 => Fault::named("watch-ends").delay(Duration::from_secs(random.random_range(3..60))),
        6 => {
            Fault::named("slow").client("replank").delay(Duration::from_millis(random.random_range(50..3000)))
        }
        7 => {
            let names = ["machine-api-unavailable", "machine-api-lost-response", "host-unreachable"];
            Fault::named(pick(random, &names)).rate(random.random_range(0.05..0.3))
        }
        8 => {
            let seconds = random.random_range(20..180);
            Fault::named("machine-never-boots").delay(Duration::from_secs(seconds)).count(1)
        }
        _ => {
            let names =
                ["machine-create-fails", "machine-boot-fails", "host-command-fails", "snapshot-fails"];
            Fault::named(pick(random, &names)).count(1)
        }
    }
}

/// A fault that stays until someone lifts it.
fn lasting(random: &mut ChaCha8Rng) -> Fault {
    let names = [
        "machine-never-boots",
        "machine-boot-fails",
        "kubelet-never-joins",
        "image-pull-fails",
        "host-command-fails",
        "host-unreachable",
        "machine-api-unavailable",
        "machine-create-fails",
        "snapshot-fails",
        "pod-stuck-terminating",
        "pod-never-ready",
        "unavailable",
        "internal-error",
        "too-many-requests",
    ];
    let name = pick(random, &names);
    let fault = Fault::named(name);
    if matches!(name, "unavailable" | "internal-error" | "too-many-requests") {
        return fault.client("replank");
    }
    fault
}

fn story(seed: u64) -> Story {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let size = pick(&mut random, &[(1, 1, 3), (1, 2, 6), (1, 2, 6), (1, 3, 10), (3, 1, 4)]);
    let strategy = if random.random_bool(0.25) { Strategy::Cutover } else { Strategy::Rolling };
    let when = |random: &mut ChaCha8Rng| Duration::from_secs(random.random_range(0..500));
    let how_many = random.random_range(1..4);
    let passing =
        (0..how_many).map(|_| Misfortune { fault: passing(&mut random), at: when(&mut random) }).collect();
    let lasts = random.random_bool(0.4);
    let lasting = lasts.then(|| Misfortune { fault: lasting(&mut random), at: when(&mut random) });
    Story { seed, size, strategy, passing, lasting }
}

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

async fn live(story: Story) {
    let (control_planes, workers, pods) = story.size;
    let cluster = cluster(control_planes, workers, pods).await;
    let plan = planned(&cluster, story.strategy).await;
    let directory = tempfile::tempdir().unwrap();
    let before: BTreeSet<String> = cluster.datacenter.machines().into_iter().map(|m| m.id).collect();
    let mut observer = Observer::new(&cluster.server, &cluster.datacenter);
    let faults = story.passing.iter().chain(&story.lasting).cloned().collect();
    let run = migrate(&cluster, &plan, directory.path());
    let mut outcome = Box::pin(observed(&cluster, &mut observer, run, faults)).await;
    let told = || {
        format!("seed {} ({SEED}={0} for it alone): {story:#?}\n{}", story.seed, journal(directory.path()))
    };
    let broken = violations(&cluster, &mut observer, &before, directory.path());
    assert!(broken.is_empty(), "{broken:#?}\n{}", told());
    if let Outcome::Paused { reason, .. } = &outcome {
        assert!(story.lasting.is_some(), "paused, though every fault passes: {reason}\n{}", told());
        assert!(!reason.to_string().is_empty());
        cluster.server.faults().lift_all();
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
    assert_eq!(cluster.datacenter.machines().len(), 2 * (control_planes + workers), "{}", told());
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

/// Lives through every fourth seed, each in a thread of its own with its own clock, and names those that
/// broke.
fn sweep(quarter: u64) {
    let mut broke = Vec::new();
    for seed in seeds().filter(|seed| seed % 4 == quarter) {
        let lived = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            runtime.expect("a runtime can be made").block_on(Box::pin(live(story(seed))));
        });
        if lived.join().is_err() {
            broke.push(seed);
        }
    }
    assert!(broke.is_empty(), "broken by the seeds {broke:?}; one alone: {SEED}=N");
}

#[test]
fn faults_of_every_fourth_seed_break_nothing() {
    sweep(0);
}

#[test]
fn faults_of_the_seeds_after_them_break_nothing() {
    sweep(1);
}

#[test]
fn faults_of_the_seeds_two_after_them_break_nothing() {
    sweep(2);
}

#[test]
fn faults_of_the_seeds_before_them_break_nothing() {
    sweep(3);
}
