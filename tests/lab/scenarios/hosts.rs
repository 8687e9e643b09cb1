//! Migrations whose provider reaches hosts over ssh: onto spare ones, and onto the same ones again.

use crate::clients::Answers;
use crate::controller_manager::Watch;
use crate::migrations::{
    WHOLE, every_node_is_new, every_pod_is_on_the_new_network, name, names, nothing_of_calico_is_on, shape,
    tell, the_controller_manager_never_minded, undisturbed,
};
use crate::operator::Operator;
use crate::program::eventually;
use crate::stage::{Stage, WORKLOADS, say};
use crate::whole::Whole;
use replank_lab::cluster::Install;
use replank_lab::machine::{Role, Wanted};
use replank_planning::intent::Strategy;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a machine may take from its first process to services, or to being a Node again.
const BOOT: Duration = Duration::from_secs(120);

/// What others have on a host, in the kernel and on its disk.
const OTHERS: &str = "set -e; ip link add mine0 type veth peer name mine1; ip link set mine0 up; \
    ip addr add 10.77.0.1/24 dev mine0; ip route add 10.78.0.0/24 via 10.77.0.9 dev mine0 proto static onlink; \
    ipset create mine hash:net; ipset add mine 10.79.0.0/24; nft add table inet mine; touch /opt/cni/bin/mine; \
    for tool in iptables-nft iptables-legacy; do \
        $tool -w -N MINE; $tool -w -A MINE -s 10.79.0.0/24 -j RETURN; $tool -w -I INPUT 1 -p tcp --dport 2222 -j MINE; done";
/// The same, told.
const OTHERS_TOLD: &str = "ip -br link show mine0; ip -o -4 addr show dev mine0; ip route show proto static; \
    ipset save mine; nft list table inet mine; ls /opt/cni/bin/mine; \
    for tool in iptables-nft iptables-legacy; do $tool-save | grep MINE; done";
/// What Calico would leave in the kernel, and its stand-in doesn't.
const LEFTOVERS: &str = "set -e; ip route add blackhole 192.168.250.0/26 proto 80; \
    ip link add cali0123456789a type veth peer name far0; ipset create cali40s:abc hash:net; nft add table ip calico; \
    for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do \
        $tool -w -N cali-FORWARD; $tool -w -I FORWARD 1 -m comment --comment cali:wUHhoiAYhphO9Mso -j cali-FORWARD; done";
/// Where the command that reboots a host in these tests leaves what it saw just before.
const LAST_SIGHT: &str = "/var/lib/replank-lab/before-reboot";

/// The lab's machines as hosts that this machine's ssh reaches.
struct Hosts<'s> {
    stage: &'s Stage,
}

/// Tells what the joins on all hosts said, where a test fails.
impl Drop for Hosts<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let lab = self.stage.cluster.lab();
        for machine in lab.machines().unwrap_or_default() {
            let said =
                lab.host_run(&machine.name, &["tail", "-n", "40", "/var/lib/replank/bootstrap.log"], None);
            let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
            say(&format!("the join on {} said: {}", machine.name, said.unwrap_or_else(|e| e.to_string())));
        }
    }
}

impl Hosts<'_> {
    /// Boots a machine that holds what a node needs, and joins nothing.
    fn spare(&self, name: &str) {
        let lab = self.stage.cluster.lab();
        let user_data = b"#cloud-config\n{}\n".to_vec();
        let wanted =
            Wanted { name: name.into(), role: Role::ControlPlane, user_data, labels: BTreeMap::new() };
        lab.create(&wanted).unwrap_or_else(|e| panic!("{e}"));
        // Who has a pool of spares has told the load balancer of them: it asks which of them serves.
        lab.register(name).unwrap_or_else(|e| panic!("{e}"));
        let booted = lab.place().machine(name).join("root/var/lib/cloud/instance/boot-finished");
        eventually("the first boot of a spare", BOOT, || booted.exists().then_some(()));
    }

    /// The ssh provider over them: `nodes` are the cluster's.
    fn provider(&self, nodes: &BTreeSet<String>, more: Value) -> Value {
        let lab = self.stage.cluster.lab();
        let machines = lab.machines().expect("machines can be listed");
        let all: Vec<String> = machines.iter().map(|m| m.name.clone()).collect();
        let config = lab.ssh_config(&all).unwrap_or_else(|e| panic!("{e}"));
        let (own, spare): (Vec<_>, Vec<_>) = machines.iter().partition(|m| nodes.contains(&m.name));
        let hosts = |machines: Vec<&replank_lab::machine::Record>| -> BTreeMap<String, Value> {
            machines.into_iter().map(|m| (m.name.clone(), json!({"address": m.address}))).collect()
        };
        let mut settings = json!({"sshConfig": config, "hosts": hosts(own)});
        if !spare.is_empty() {
            settings["spares"] = json!(hosts(spare));
        }
        let more = more.as_object().cloned().unwrap_or_default();
        settings.as_object_mut().expect("it is one").extend(more);
        json!({"name": "ssh", "settings": settings})
    }

    fn runs(&self, host: &str, script: &str) -> String {
        let ran = self.stage.cluster.lab().host_run(host, &["sh", "-c", script], None);
        let ran = ran.unwrap_or_else(|e| panic!("{e}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(ran.status.success(), "on {host}: {script}: {}", text(&ran.stderr));
        text(&ran.stdout)
    }

    fn boot_id(&self, host: &str) -> Option<String> {
        let told = self.stage.cluster.lab().host_read(host, "/proc/sys/kernel/random/boot_id").ok()??;
        Some(String::from_utf8(told.content).ok()?.trim().to_owned())
    }

    /// The lease on a host; null without one.
    fn lease(&self, host: &str) -> Value {
        let file = self.stage.cluster.lab().host_read(host, "/var/lib/replank/lease");
        let file = file.unwrap_or_else(|e| panic!("{e}"));
        file.map_or(Value::Null, |file| serde_json::from_slice(&file.content).expect("a lease is JSON"))
    }

    fn reboots(&self, host: &str) {
        let before = self.boot_id(host).expect("it is up");
        self.runs(host, "setsid sh -c 'sleep 1; systemctl reboot' </dev/null >/dev/null 2>&1 &");
        eventually("another boot", BOOT, || self.boot_id(host).filter(|now| *now != before));
    }
}

/// Uids and boot ids of the Nodes, by name.
fn incarnations(stage: &Stage) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let facts = |node: &Value| (text(&node["metadata"]["uid"]), text(&node["status"]["nodeInfo"]["bootID"]));
    stage.list("nodes").iter().map(|node| (name(node), facts(node))).collect()
}

/// What becomes of the one that carries a plan out.
enum Fate {
    /// It is left alone.
    Undisturbed,
    /// It is killed as soon as its journal holds these words, and begun again.
    KilledAt(&'static str),
}

/// Carries the plan out, and looks at what is true of every migration.
async fn carried_out(test: &str, stage: &Stage, operator: &Operator<'_>, fate: Fate) {
    let nodes = stage.list("nodes").len();
    let before = Whole::of(&stage.cluster);
    let watch = Watch::begin(&stage.cluster, stage.client().await);
    let began = Instant::now();
    tokio::task::block_in_place(|| {
        let mut run = operator.apply();
        if let Fate::KilledAt(words) = fate {
            eventually(words, WHOLE, || operator.journal().contains(words).then_some(()));
            assert!(run.kill().is_none(), "it had ended by itself");
            run = operator.apply();
        }
        undisturbed(run);
    });
    let took = began.elapsed().as_secs_f64();
    let seen = watch.ended().await;
    stage.cluster.settled(nodes).unwrap_or_else(|error| panic!("{error}"));
    every_pod_is_on_the_new_network(stage);
    the_controller_manager_never_minded(&seen);
    let difference = before.until(&Whole::of(&stage.cluster)).unnamed(&operator.planned_document());
    assert!(difference.is_empty(), "more changed than the plan names: {difference:#?}");
    tell(test, took, operator, &seen, &Answers::of(stage.cluster.lab()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn spare_hosts_take_the_place_of_every_node() {
    let stage = Stage::with("spares", shape(1, 1, Install::Manifest));
    let hosts = Hosts { stage: &stage };
    let old = names(&stage.list("nodes"));
    let spares = ["s1", "s2"];
    for spare in spares {
        hosts.spare(spare);
    }
    stage.furnish(WORKLOADS);
    for host in &old {
        hosts.runs(host, OTHERS);
        hosts.runs(host, LEFTOVERS);
    }
    let others: BTreeMap<&String, String> =
        old.iter().map(|host| (host, hosts.runs(host, OTHERS_TOLD))).collect();
    let provider = hosts.provider(&old, json!({}));
    let operator = Operator::with_provider(&stage, Strategy::Rolling, &provider);
    let operator = operator.restricted().planned().provided();

    carried_out("ssh-spares", &stage, &operator, Fate::Undisturbed).await;

    every_node_is_new(&stage, &old);
    nothing_of_calico_is_on(&stage, &old);
    let run = operator.status()["run"].clone();
    let leases = spares.map(|spare| hosts.lease(spare));
    let leased: BTreeSet<String> =
        leases.iter().map(|lease| lease["node"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(leased, names(&stage.list("nodes")), "a lease names the node: {leases:?}");
    for lease in &leases {
        assert_eq!(lease["run"], run, "{lease}");
    }
    for spare in spares {
        hosts.runs(spare, "systemctl is-enabled kubelet");
        assert_eq!(
            hosts.runs(spare, "ls /run/replank-bootstrap-* /run/replank/join.yaml 2>/dev/null; true"),
            ""
        );
    }
    for host in &old {
        let service =
            "systemctl is-active kubelet; systemctl is-enabled kubelet; crictl pods -q --state ready; true";
        assert_eq!(hosts.runs(host, service), "inactive\ndisabled", "{host} is out of service, and kept");
        hosts.runs(host, "test -e /var/lib/replank/stopped && test -e /etc/kubernetes/kubelet.conf");
    }

    operator.finalizes().with(0);
    for host in &old {
        hosts.runs(host, "test -e /var/lib/replank/retired && test ! -e /etc/kubernetes/kubelet.conf");
        assert_eq!(hosts.runs(host, OTHERS_TOLD), others[host], "{host}: what others have stays");
    }
    nothing_of_calico_is_on(&stage, &BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[ignore = "run by `cargo xtask test providers --full`"]
async fn every_host_is_joined_again_in_place() {
    // Room for the pods of the worker that is away, and an etcd that has a member more.
    let stage = Stage::with("in-place", shape(2, 2, Install::Manifest));
    let hosts = Hosts { stage: &stage };
    stage.furnish(WORKLOADS);
    let before = incarnations(&stage);
    let nodes: BTreeSet<String> = before.keys().cloned().collect();
    for host in &nodes {
        hosts.runs(host, OTHERS);
        hosts.runs(host, LEFTOVERS);
    }
    let others: BTreeMap<&String, String> =
        nodes.iter().map(|host| (host, hosts.runs(host, OTHERS_TOLD))).collect();
    let reboot =
        format!("[ -e {LAST_SIGHT} ] || ({OTHERS_TOLD}) >{LAST_SIGHT} 2>/dev/null; exec systemctl reboot");
    let settings = json!({"inPlace": true, "commands": {"reboot": ["sh", "-c", reboot]}});
    let provider = hosts.provider(&nodes, settings);
    let operator = Operator::with_provider(&stage, Strategy::Rolling, &provider);
    let operator = operator.restricted().planned().provided();
    in_place_is_asked_for_by_name(&operator, &nodes);

    // In the middle of the first host's reboot.
    carried_out("ssh-in-place", &stage, &operator, Fate::KilledAt("is cleaned and reboots")).await;

    let after = incarnations(&stage);
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "the same hosts");
    let status = operator.status();
    assert_eq!(status["nodes"], json!({"total": 4, "replaced": 4, "inPlace": 4}));
    let run = status["run"].clone();
    for host in &nodes {
        assert_ne!(after[host].0, before[host].0, "{host} is another Node");
        assert_ne!(after[host].1, before[host].1, "{host} has rebooted");
        assert_eq!(hosts.boot_id(host).as_ref(), Some(&after[host].1), "{host} tells its own boot");
        let lease = hosts.lease(host);
        assert_eq!((&lease["run"], lease["node"].as_str()), (&run, Some(host.as_str())), "{lease}");
        assert_eq!(
            hosts.runs(host, &format!("cat {LAST_SIGHT}")),
            others[host],
            "{host}: cleaning spares others"
        );
        hosts.runs(host, "test -e /opt/cni/bin/mine && systemctl is-enabled kubelet");
    }
    nothing_of_calico_is_on(&stage, &BTreeSet::new());

    operator.finalizes().with(0);
    hosts.reboots("w1");
    eventually("the Node of a host that has rebooted", BOOT, || {
        let now = hosts.boot_id("w1");
        now.filter(|now| incarnations(&stage).get("w1").is_some_and(|(_, boot)| boot == now))
    });
    stage.cluster.settled(nodes.len()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(incarnations(&stage)["w1"].0, after["w1"].0, "a reboot makes no other Node");
}

/// The plan says it of every node, and nobody was asked for it in general.
fn in_place_is_asked_for_by_name(operator: &Operator<'_>, nodes: &BTreeSet<String>) {
    let plan = operator.planned_document();
    let slots = plan["slots"].as_array().expect("a plan has slots");
    assert!(slots.iter().all(|slot| slot["replacement"] == "in_place"), "{slots:#?}");
    let consents = plan["consents"].as_array().expect("a plan has consents");
    let named: BTreeSet<String> = consents
        .iter()
        .filter(|consent| consent["code"] == "in-place")
        .filter_map(|consent| Some(consent["object"].as_str()?.trim_start_matches("Node ").to_owned()))
        .collect();
    assert_eq!(named, *nodes, "{consents:?}");
    let told = operator.planned_text();
    assert_eq!(told.matches("in place").count(), nodes.len(), "{told}");
}
