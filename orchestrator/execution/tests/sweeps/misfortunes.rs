//! What happens to a run of a seed: faults that pass by themselves, and perhaps one that does not.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use replank_planning::intent::Strategy;
use replank_simulator::faults::Fault;
use std::time::Duration;

/// A fault, and when it comes.
#[derive(Clone, Debug)]
pub struct Misfortune {
    pub fault: Fault,
    pub at: Duration,
}

/// What a seed stands for.
#[derive(Debug)]
pub struct Story {
    pub seed: u64,
    pub size: (usize, usize, usize),
    pub strategy: Strategy,
    pub passing: Vec<Misfortune>,
    pub lasting: Option<Misfortune>,
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
            let names = ["machine-never-boots", "etcd-slow-learner"];
            let seconds = random.random_range(20..180);
            Fault::named(pick(random, &names)).delay(Duration::from_secs(seconds)).count(1)
        }
        _ => {
            let names =
                ["machine-create-fails", "machine-boot-fails", "host-command-fails", "snapshot-fails"];
            Fault::named(pick(random, &names)).count(1)
        }
    }
}

/// The faults that stay until someone lifts them.
pub const LASTING: [&str; 15] = [
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
    "machine-vanishes",
];

fn lasting(random: &mut ChaCha8Rng, size: (usize, usize, usize)) -> Fault {
    let name = pick(random, &LASTING);
    let fault = Fault::named(name);
    match name {
        "unavailable" | "internal-error" | "too-many-requests" => fault.client("replank"),
        "machine-vanishes" => fault.subject(&mortal(random, size)),
        _ => fault,
    }
}

/// A node that may die: a worker, or a control plane where etcd can do without it.
fn mortal(random: &mut ChaCha8Rng, (control_planes, workers, _): (usize, usize, usize)) -> String {
    let spare = if control_planes >= 3 { control_planes } else { 0 };
    match random.random_range(0..workers + spare) {
        worker if worker < workers => format!("worker-{}", worker + 1),
        other => format!("control-plane-{}", other - workers + 1),
    }
}

pub fn story(seed: u64) -> Story {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let size = pick(&mut random, &[(1, 1, 3), (1, 2, 6), (1, 2, 6), (1, 3, 10), (3, 1, 4)]);
    let strategy = if random.random_bool(0.25) { Strategy::Cutover } else { Strategy::Rolling };
    let when = |random: &mut ChaCha8Rng| Duration::from_secs(random.random_range(0..500));
    let how_many = random.random_range(1..4);
    let mut passing: Vec<Misfortune> =
        (0..how_many).map(|_| Misfortune { fault: passing(&mut random), at: when(&mut random) }).collect();
    let lasts = random.random_bool(0.4);
    let lasting = lasts.then(|| {
        let fault = lasting(&mut random, size);
        // Later there are only replacements left to die.
        let sooner = if fault.name == "machine-vanishes" { 5 } else { 1 };
        Misfortune { fault, at: when(&mut random) / sooner }
    });
    // One that strikes tells of the one that lasts, if it did.
    let alike = |one: &Misfortune| lasting.as_ref().is_some_and(|l| l.fault.name == one.fault.name);
    passing.retain(|one| !alike(one));
    Story { seed, size, strategy, passing, lasting }
}
