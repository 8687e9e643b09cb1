//! Whole migrations by the program, as an account with no more rights than it asks for, and what must be true of them.

use crate::clients::Answers;
use crate::controller_manager::{Seen, Watch, Why};
use crate::operator::Operator;
use crate::program::Program;
use crate::rights::{self, Share};
use crate::stage::{Stage, WORKLOADS, say};
use crate::troubles::{self, Story, Troubles};
use crate::whole::Whole;
use replank_lab::cluster::{Cni, Install, Shape};
use replank_lab::machine::Power;
use replank_planning::intent::Strategy;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long one may take on two busy cores.
pub(crate) const WHOLE: Duration = Duration::from_secs(1200);

/// How a run is carried out: undisturbed, unless said otherwise.
#[derive(Default)]
pub(crate) struct Way {
    /// Before it begins, it is tried with one or another of its rights taken away.
    pub(crate) one_right_less: Option<Share>,
    /// What happens to it, and to its cluster meanwhile.
    pub(crate) story: Option<Story>,
}

pub(crate) fn shape(control_planes: usize, workers: usize, install: Install) -> Shape {
    Shape { control_planes, workers, cni: Cni::Calico(install) }
}

pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn names(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(name).collect()
}

pub(crate) async fn migrated(test: &str, shape: Shape, strategy: Strategy, way: Way) {
    let stage = Stage::with(test, shape);
    stage.furnish(WORKLOADS);
    let operator = Operator::new(&stage, strategy).restricted().planned().provided();
    if let Some(share) = way.one_right_less {
        rights::each_is_asked_for(&stage, &operator, share).await;
    }
    let old = names(&stage.list("nodes"));
    let before = Whole::of(&stage.cluster);
    let watch = Watch::begin(&stage.cluster, stage.client().await);

    let began = Instant::now();
    tokio::task::block_in_place(|| {
        let run = operator.apply();
        match way.story {
            None => undisturbed(run),
            Some(story) => Troubles::new(&stage, &operator, test, story).carry_out(run, WHOLE),
        }
    });
    let took = began.elapsed().as_secs_f64();
    let seen = watch.ended().await;

    stage.cluster.settled(old.len()).unwrap_or_else(|error| panic!("{error}"));
    every_node_is_new(&stage, &old);
    every_pod_is_on_the_new_network(&stage);
    old_machines_are_off_and_kept(&stage, &old);
    nothing_of_calico_is_on(&stage, &old);
    the_controller_manager_never_minded(&seen);
    let difference = before.until(&Whole::of(&stage.cluster)).unnamed(&operator.planned_document());
    assert!(difference.is_empty(), "more changed than the plan names: {difference:#?}");
    let answers = Answers::of(stage.cluster.lab());
    tell(test, took, &operator, &seen, &answers);

    operator.finalizes().with(0);
    let left = stage.cluster.lab().machines().expect("machines can be listed");
    let left: Vec<&String> = left.iter().map(|m| &m.name).filter(|name| old.contains(*name)).collect();
    assert!(left.is_empty(), "finalize leaves no old machine: {left:?}");
    assert!(stage.cluster.lab().snapshots().expect("snapshots can be listed").is_empty());
}

pub(crate) fn undisturbed(mut run: Program) {
    run.ends_within(WHOLE).with(0);
}

pub(crate) fn every_node_is_new(stage: &Stage, old: &BTreeSet<String>) {
    let nodes = names(&stage.list("nodes"));
    assert_eq!(nodes.len(), old.len());
    assert!(nodes.is_disjoint(old), "every machine is replaced: {old:?} {nodes:?}");
}

pub(crate) fn every_pod_is_on_the_new_network(stage: &Stage) {
    let nodes = stage.list("nodes");
    for pod in stage.list("pods").iter().filter(|pod| pod["spec"]["hostNetwork"] != true) {
        let ip = pod["status"]["podIP"].as_str().unwrap_or_default();
        let node = nodes.iter().find(|n| n["metadata"]["name"] == pod["spec"]["nodeName"]);
        let range = node.and_then(|n| n["spec"]["podCIDR"].as_str()).unwrap_or_default();
        let range = range.trim_end_matches(".0/24");
        assert!(!range.is_empty() && ip.starts_with(&format!("{range}.")), "{} has {ip}", name(pod));
    }
}

fn old_machines_are_off_and_kept(stage: &Stage, old: &BTreeSet<String>) {
    let lab = stage.cluster.lab();
    let machines = lab.machines().expect("machines can be listed");
    let there: BTreeSet<String> = machines.iter().map(|m| m.name.clone()).collect();
    assert!(old.is_subset(&there), "{old:?} {there:?}");
    for machine in &machines {
        let expected = if old.contains(&machine.name) { Power::Off } else { Power::On };
        assert_eq!(lab.power(&machine.name).expect("it is known"), expected, "{}", machine.name);
    }
}

/// No link, route, rule, set or file of Calico's is on a machine that is on; logs are the kubelet's, which may have
/// run one of its pods for a while.
pub(crate) fn nothing_of_calico_is_on(stage: &Stage, old: &BTreeSet<String>) {
    const LOOK: &str = "ip -o link | grep -F cali; ip route show proto 80; ip route | grep -F cali; \
        for tool in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do $tool-save | grep -F cali; done; \
        ipset list -n | grep -F cali; \
        find /etc/cni/net.d /opt/cni/bin /var/lib /var/run /var/log -maxdepth 2 -iname '*calico*' \
            -not -path '/var/log/pods/*' -not -path '/var/log/containers/*'; true";
    let lab = stage.cluster.lab();
    for machine in lab.machines().expect("machines can be listed").iter().filter(|m| !old.contains(&m.name)) {
        let told = lab.host_run(&machine.name, &["sh", "-c", LOOK], None).unwrap_or_else(|e| panic!("{e}"));
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.trim().is_empty(), "on {}: {told}", machine.name);
    }
}

pub(crate) fn the_controller_manager_never_minded(seen: &Seen) {
    let said = seen.ends.values().filter(|(_, why)| matches!(why, Why::Said(_)));
    assert_eq!(said.count(), 0, "none ends because of its configuration: {:#?}", seen.ends);
    assert!(seen.ahead.is_empty(), "kubeadm's record comes first: {:#?}", seen.ahead);
}

/// The figures of a run, for docs/lab.md.
pub(crate) fn tell(test: &str, took: f64, operator: &Operator<'_>, seen: &Seen, answers: &Answers) {
    say(&format!("{test}: {took:.0} s from the command to its end"));
    for (step, seconds) in durations(&operator.journal()) {
        say(&format!("{test}: {seconds:6.1} s {step}"));
    }
    let lost = seen.ends.values().filter(|(_, why)| *why == Why::LeaseLost).count();
    let ends = seen.ends.len();
    say(&format!("{test}: {ends} ends of a controller-manager, {lost} of them for a lost lease"));
    say(&format!("{test}: {}", operator.requests()));
    say(&format!("{test}: {answers}"));
}

/// How long each step took, from its first start to its success, in order.
fn durations(journal: &str) -> Vec<(String, f64)> {
    let mut began: Vec<(String, f64)> = Vec::new();
    let mut took = Vec::new();
    for entry in journal.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some(step) = entry.pointer("/record/step").and_then(Value::as_str) else { continue };
        let time: Option<k8s_openapi::jiff::Timestamp> = entry["time"].as_str().and_then(|t| t.parse().ok());
        let Some(at) = time.map(|time| time.as_duration().as_secs_f64()) else { continue };
        match entry.pointer("/record/record").and_then(Value::as_str) {
            Some("started") if !began.iter().any(|(id, _)| id == step) => began.push((step.to_owned(), at)),
            Some("succeeded") => {
                let start = began.iter().find(|(id, _)| id == step);
                took.extend(start.map(|(id, start)| (id.clone(), at - start)));
            }
            _ => {}
        }
    }
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn rolling_on_three_control_planes_that_lose_each_other() {
    let way = Way { story: Some(troubles::PARTED), ..Way::default() };
    migrated("rolling-manifest-3", shape(3, 2, Install::Manifest), Strategy::Rolling, way).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn cutover_on_one_control_plane_killed_again_and_again() {
    let way = Way { one_right_less: Some(Share::Some), story: Some(troubles::KILLED) };
    migrated("cutover-operator-1", shape(1, 2, Install::Operator), Strategy::Cutover, way).await;
}
