//! Clusters of IPv6, and of both families, migrated whole by both strategies and with every backend.

use crate::installs::story_with;
use crate::migration::{observed, planned, world_of};
use replank_planning::checks::{Code, Severity};
use replank_planning::cni::flannel::config::NetConf;
use replank_planning::cni::flannel::render;
use replank_planning::intent::{Backend, Intent, Strategy};
use replank_planning::planner::assess;
use replank_simulator::Clock;
use replank_simulator::Families;
use replank_simulator::scenario::builtin::{Calico, Shape};
use replank_simulator::scenario::{Cluster, ClusterSpec};
use serde_json::{Value, json};

fn spec(families: Families) -> ClusterSpec {
    ClusterSpec::small(Calico { families, ..Calico::of(Shape::Manifest) })
}

fn texts(list: &Value, key: &str) -> Vec<String> {
    let of =
        |item: &Value| if key.is_empty() { item.as_str() } else { item[key].as_str() }.map(str::to_owned);
    list.as_array().into_iter().flatten().filter_map(of).collect()
}

fn all<'a>(
    cluster: &'a [(replank_simulator::schema::Resource, replank_simulator::server::Object)],
    kind: &'a str,
) -> impl Iterator<Item = &'a Value> {
    cluster.iter().filter(move |(resource, _)| resource.kind == kind).map(|(_, object)| &**object)
}

/// Nodes, pods and everybody's records are in these ranges, in this order.
fn in_ranges(cluster: &Cluster, prefixes: &[&str]) {
    let objects = cluster.objects();
    let fit = |found: &[String], what: &str| {
        let each = found.iter().zip(prefixes).all(|(text, prefix)| text.starts_with(prefix));
        assert!(found.len() == prefixes.len() && each, "{what}: {found:?}, not {prefixes:?}");
    };
    for node in all(&objects, "Node") {
        fit(&texts(&node["spec"]["podCIDRs"], ""), "a Node");
    }
    for pod in all(&objects, "Pod").filter(|p| p["spec"]["hostNetwork"] != true) {
        fit(&texts(&pod["status"]["podIPs"], "ip"), "a Pod");
    }
    let map = |name: &str, key: &str| {
        let found = all(&objects, "ConfigMap").find(|map| map["metadata"]["name"] == name).unwrap();
        serde_saphyr::from_str::<Value>(found["data"][key].as_str().unwrap()).unwrap()
    };
    let ranges = |list: &Value| list.as_str().unwrap().split(',').map(str::to_owned).collect::<Vec<_>>();
    fit(&ranges(&map("kube-proxy", "config.conf")["clusterCIDR"]), "kube-proxy");
    fit(&ranges(&map("kubeadm-config", "ClusterConfiguration")["networking"]["podSubnet"]), "kubeadm");
    for manager in
        all(&objects, "Pod").filter(|p| p["metadata"]["labels"]["component"] == "kube-controller-manager")
    {
        let command = texts(&manager["spec"]["containers"][0]["command"], "");
        let flag = command.iter().find_map(|word| word.strip_prefix("--cluster-cidr=")).unwrap();
        fit(&ranges(&json!(flag)), "the controller-manager");
        assert!(command.contains(&"--allocate-node-cidrs=true".to_owned()), "{command:?}");
    }
}

async fn story(families: Families, intent: Intent, prefixes: &[&str]) -> Cluster {
    let cluster = story_with(spec(families), intent).await;
    in_ranges(&cluster, prefixes);
    cluster
}

fn by(strategy: Strategy) -> Intent {
    Intent { strategy, ..Intent::default() }
}

#[tokio::test(start_paused = true)]
async fn both_families_node_by_node() {
    let cluster = story(Families::Dual, by(Strategy::Rolling), &["10.244.", "fd00:10:f0:"]).await;
    let objects = cluster.objects();
    let dual = all(&objects, "Service").filter(|s| texts(&s["spec"]["clusterIPs"], "").len() == 2).count();
    assert!(dual > 0, "there are Services of both families");
    let six = all(&objects, "EndpointSlice").filter(|slice| slice["addressType"] == "IPv6");
    let reached: Vec<String> = six
        .flat_map(|s| s["endpoints"].as_array().unwrap().clone())
        .flat_map(|e| texts(&e["addresses"], ""))
        .collect();
    assert!(!reached.is_empty() && reached.iter().all(|ip| ip.starts_with("fd00:10:f0:")), "{reached:?}");
}

#[tokio::test(start_paused = true)]
async fn both_families_at_once() {
    story(Families::Dual, by(Strategy::Cutover), &["10.244.", "fd00:10:f0:"]).await;
}

#[tokio::test(start_paused = true)]
async fn ipv6_alone_node_by_node() {
    story(Families::V6, by(Strategy::Rolling), &["fd00:10:f0:"]).await;
}

#[tokio::test(start_paused = true)]
async fn ipv6_alone_at_once() {
    story(Families::V6, by(Strategy::Cutover), &["fd00:10:f0:"]).await;
}

#[tokio::test(start_paused = true)]
async fn other_backends_announce_both_families() {
    for (backend, name) in [(Backend::HostGw, "host-gw"), (Backend::Wireguard, "wireguard")] {
        let mut intent = by(Strategy::Rolling);
        intent.network.backend = backend;
        let cluster = story(Families::Dual, intent, &["10.244.", "fd00:10:f0:"]).await;
        let objects = cluster.objects();
        for node in all(&objects, "Node") {
            let told = |key: &str| {
                node["metadata"]["annotations"][format!("flannel.alpha.coreos.com/{key}")].as_str()
            };
            assert_eq!(told("backend-type"), Some(name));
            assert!(told("public-ip").is_some() && told("public-ipv6").is_some());
        }
    }
}

/// A Flannel manifest of a user's own, without a gate, for these ranges.
fn own_manifest(ranges: &[&str]) -> String {
    let network = ranges.iter().map(|range| range.parse().unwrap()).collect();
    let conf = NetConf { network, backend: Backend::Vxlan, vni: None, mtu: Some(1400) };
    let mut objects =
        render::objects(&conf, Some("registry.example/flannel-io/flannel:v0.28.9"), render::ROLE);
    for object in &mut objects {
        if let Some(spec) = object.body.pointer_mut("/spec/template/spec").and_then(Value::as_object_mut) {
            spec.remove("nodeSelector");
        }
    }
    objects.iter().map(|object| format!("{}\n---\n", object.body)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_manifest_of_the_users_own_is_gated_and_used() {
    let mut intent = by(Strategy::Rolling);
    intent.network.manifest = Some(own_manifest(&["10.60.0.0/16", "fd00:60::/56"]));
    let cluster = story(Families::Dual, intent, &["10.60.", "fd00:60:"]).await;
    let objects = cluster.objects();
    let set = all(&objects, "DaemonSet").find(|set| set["metadata"]["name"] == "kube-flannel-ds").unwrap();
    assert_eq!(set["spec"]["template"]["spec"]["nodeSelector"], json!({"replank.dev/network": "flannel"}));
}

#[tokio::test(start_paused = true)]
async fn ranges_that_do_not_fit_the_clusters_families_are_refused() {
    let cluster = Cluster::build(spec(Families::Dual), Clock::fixed()).await.unwrap();
    let state = observed(&world_of(&cluster)).await;
    let refused = |ranges: &[&str]| {
        let mut intent = Intent::default();
        intent.network.pod_cidrs = ranges.iter().map(|range| range.parse().unwrap()).collect();
        assess(&state, &intent).of(Severity::Blocker).into_iter().map(|f| f.code).collect::<Vec<_>>()
    };
    assert_eq!(refused(&["10.70.0.0/16"]), [Code::FamiliesDiffer]);
    assert_eq!(refused(&["10.70.0.0/16", "10.71.0.0/16"]), [Code::FamiliesDiffer]);
    assert_eq!(refused(&["10.70.0.0/16", "fd00:70::/40"]), [Code::RangeTooLarge]);
    assert_eq!(refused(&["10.70.0.0/16", "fd00:10:64:1::/56"]), [Code::RangesOverlap]);
    assert_eq!(refused(&["10.70.0.0/16", "fd00:70::/48"]), []);
    let plan = planned(&state, Intent::default());
    let given: Vec<String> = plan
        .slots
        .iter()
        .map(|s| s.new.pod_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        given,
        [
            "10.244.0.0/24 fd00:10:f0::/64",
            "10.244.1.0/24 fd00:10:f0:1::/64",
            "10.244.2.0/24 fd00:10:f0:2::/64"
        ]
    );
}
