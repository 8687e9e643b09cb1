//! The programs in the static pods of control planes: who leads, who takes over, who can't start.

use crate::clock::Clock;
use crate::controllers::objects::{condition_status, items, number, text};
use crate::machines::Caller;
use crate::scenario::{Cluster, ClusterSpec};
use crate::schema::builtin::{DEPLOYMENTS, LEASES, NODES, PODS};
use crate::server::Direct;
use serde_json::{Value, json};
use std::time::Duration;

async fn cluster() -> (Cluster, Direct) {
    let spec = ClusterSpec { control_planes: 3, workers: 1, pods: 0, ..ClusterSpec::default() };
    let cluster = Cluster::build(spec, Clock::fixed()).await.expect("the cluster comes up");
    let direct = cluster.server.direct("story");
    (cluster, direct)
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("waited in vain for {what}");
}

/// The node of who leads.
fn leader(direct: &Direct, component: &str) -> String {
    let lease = direct.get(&LEASES, "kube-system", component).expect("somebody leads");
    text(&lease, "/spec/holderIdentity").split('_').next().unwrap_or_default().to_owned()
}

fn deployment(name: &str) -> Value {
    let template = json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "example/web:1"}]},
    });
    json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template},
    })
}

fn available(direct: &Direct, name: &str) -> bool {
    let found = direct.get(&DEPLOYMENTS, "default", name);
    found.is_some_and(|found| number(&found, "/status/availableReplicas", 0) == 2)
}

#[tokio::test(start_paused = true)]
async fn another_takes_the_lead_when_the_leaders_machine_stops() {
    let (cluster, direct) = cluster().await;
    let first = leader(&direct, "kube-controller-manager");
    let machines = cluster.datacenter.machines();
    let machine = machines.iter().find(|machine| machine.name == first).expect("nodes are named so");
    cluster.datacenter.stop(&machine.id, Caller::default()).expect("a machine can be stopped");
    for component in ["kube-controller-manager", "kube-scheduler"] {
        until("another leader", || leader(&direct, component) != first).await;
    }
    let turns = direct.get(&LEASES, "kube-system", "kube-controller-manager").expect("it is there");
    assert!(number(&turns, "/spec/leaseTransitions", 0) >= 1);
    direct.create(&DEPLOYMENTS, deployment("web")).expect("the API is up");
    until("its pods", || available(&direct, "web")).await;
    until("the node's silence", || {
        let node = direct.get(&NODES, "", &first);
        node.is_some_and(|node| condition_status(&node, "Ready") == "Unknown")
    })
    .await;
}

/// Changes a flag of every controller-manager, by its manifest.
fn edit(cluster: &Cluster, from: &str, to: &str) {
    let path = "/etc/kubernetes/manifests/kube-controller-manager.yaml";
    for machine in cluster.datacenter.machines() {
        let host = cluster.datacenter.host(&machine.id).expect("every machine has a host");
        let Some(manifest) = host.files().read_text(path) else { continue };
        assert!(manifest.contains(from), "{manifest}");
        let changed = manifest.replace(from, to);
        let file = Some((changed.as_bytes(), 0o600));
        cluster.datacenter.write_file(&machine.id, path, file, Caller::default()).expect("hosts have files");
    }
}

fn crash_loops(direct: &Direct) -> usize {
    let pods = direct.list(&PODS, Some("kube-system"));
    let managers =
        pods.iter().filter(|pod| text(pod, "/metadata/labels/component") == "kube-controller-manager");
    let crashed = |pod: &Value| {
        items(pod, "/status/containerStatuses").iter().any(|one| {
            number(one, "/restartCount", 0) >= 1 && number(one, "/lastState/terminated/exitCode", 0) == 1
        })
    };
    managers.filter(|pod| crashed(pod)).count()
}

#[tokio::test(start_paused = true)]
async fn a_range_without_the_present_nodes_crash_loops_every_leader() {
    let (cluster, direct) = cluster().await;
    until("pod CIDRs", || {
        direct.list(&NODES, None).iter().all(|node| !text(node, "/spec/podCIDR").is_empty())
    })
    .await;
    edit(&cluster, "--cluster-cidr=192.168.0.0/16", "--cluster-cidr=10.244.0.0/16");
    until("three crashed managers", || crash_loops(&direct) == 3).await;
    direct.create(&DEPLOYMENTS, deployment("web")).expect("the API is up");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(!available(&direct, "web"), "no controllers run");
    // With allocation off the same range does no harm.
    edit(&cluster, "--allocate-node-cidrs=true", "--allocate-node-cidrs=false");
    until("its pods", || available(&direct, "web")).await;
}
