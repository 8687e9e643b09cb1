//! Outages that strike everybody, not only replank: the API server is away or gives no answer, a kubelet falls
//! silent. They pass, and so they end in success without a pause.

use crate::world::{cluster, journal, migrate, planned};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use replank_execution::Outcome;
use replank_planning::intent::Strategy;
use replank_simulator::faults::Fault;
use replank_simulator::observer::{Observer, aftermath};
use replank_simulator::scenario::Cluster;
use std::time::Duration;

/// Set to `N` or `N..M`, other outages than the usual ones.
const OUTAGES: &str = "REPLANK_OUTAGE";

/// What is away, from when, for how long.
#[derive(Debug)]
struct Outage {
    name: &'static str,
    subject: Option<String>,
    at: Duration,
    lasts: Duration,
}

fn outages(random: &mut ChaCha8Rng, cluster: &Cluster) -> Vec<Outage> {
    let names = ["api-server-away", "no-answer", "unavailable", "dropped-connection", "kubelet-stops"];
    let mut at = Duration::ZERO;
    let how_many = random.random_range(1..4);
    let one = |_| {
        let name = names[random.random_range(0..names.len())];
        let machines = cluster.datacenter.machines();
        let subject = machines[random.random_range(0..machines.len())].name.clone();
        at += Duration::from_secs(random.random_range(20..400));
        let lasts = Duration::from_secs(random.random_range(3..150));
        let outage = Outage { name, subject: (name == "kubelet-stops").then_some(subject), at, lasts };
        at += lasts;
        outage
    };
    (0..how_many).map(one).collect()
}

/// Lets them come and go; never ends.
async fn strike(cluster: &Cluster, outages: &[Outage]) {
    let begun = tokio::time::Instant::now();
    for outage in outages {
        tokio::time::sleep_until(begun + outage.at).await;
        let fault = Fault { subject: outage.subject.clone(), ..Fault::named(outage.name) };
        let raised = cluster.server.faults().raise(fault);
        tokio::time::sleep(outage.lasts).await;
        cluster.server.faults().lift(raised);
    }
    std::future::pending::<()>().await;
}

async fn live(seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let control_planes = if random.random_bool(0.2) { 3 } else { 1 };
    let cluster = cluster(control_planes, 2, 10).await;
    let strategy = if random.random_bool(0.25) { Strategy::Cutover } else { Strategy::Rolling };
    let outages = outages(&mut random, &cluster);
    let plan = planned(&cluster, strategy).await;
    let directory = tempfile::tempdir().unwrap();
    let mut observer = Observer::new(&cluster.server, &cluster.datacenter);
    let told = || {
        let members = cluster.datacenter.etcd().members();
        let consoles = cluster.datacenter.machines().into_iter().map(|machine| {
            format!(
                "{} {}:\n{}",
                machine.name,
                machine.id,
                cluster.datacenter.console(&machine.id).unwrap_or_default()
            )
        });
        let consoles: String = consoles.collect();
        let journal = journal(directory.path());
        format!(
            "{OUTAGES}={seed}: {control_planes}+2 {strategy:?} {outages:#?}\n{journal}\n{members:#?}\n{consoles}"
        )
    };
    let outcome = tokio::select! {
        biased;
        () = observer.watch() => panic!("two machines of one name: {}", told()),
        outcome = migrate(&cluster, &plan, directory.path()) => outcome,
        () = strike(&cluster, &outages) => unreachable!("it never ends"),
        () = tokio::time::sleep(Duration::from_secs(12 * 3600)) => panic!("no end: {}", told()),
    };
    assert_eq!(outcome, Outcome::Finished, "{}", told());
    let mut broken = observer.violations();
    // Kubelets that can't report are not ready, whoever runs.
    broken.retain(|violation| violation.invariant != "ready-nodes");
    broken.extend(aftermath::effects(&cluster.datacenter));
    broken.extend(aftermath::orphans(&cluster.server, &cluster.datacenter));
    assert!(broken.is_empty(), "{broken:#?}\n{}", told());
    let ready = tokio::time::timeout(Duration::from_secs(120), cluster.all_ready("the outages"));
    assert!(matches!(ready.await, Ok(Ok(()))), "not all is ready: {}", told());
}

#[test]
fn outages_that_pass_end_in_success() {
    let number = |text: &str| -> u64 { text.parse().expect("N or N..M") };
    let seeds = match std::env::var(OUTAGES).ok().as_deref().map(|text| text.split_once("..").ok_or(text)) {
        None => 0..17,
        Some(Ok((first, end))) => number(first)..number(end),
        Some(Err(one)) => number(one)..number(one) + 1,
    };
    let mut broke = Vec::new();
    for seed in seeds {
        let lived = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            runtime.expect("a runtime can be made").block_on(Box::pin(live(seed)));
        });
        if lived.join().is_err() {
            broke.push(seed);
        }
    }
    assert!(broke.is_empty(), "broken by the outages {broke:?}; one alone: {OUTAGES}=N");
}
