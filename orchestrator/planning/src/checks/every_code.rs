//! Every code of a finding, each found in a small cluster that is healthy but for what the code is about.

use super::Code::{self, *};
use super::Severity::{self, *};
use crate::intent::Strategy;
use crate::object::{Kind, ObjectRef};
use crate::planner::given::{Given, config_maps, daemon_set, manifest, object, records};
use crate::state::{Health, HostAccess, Inventory, Owner, PodVolume, Policy, WebhookFailure};
use replank_provider_protocol::{Keeping, Replacement, SnapshotKind};
use serde_json::json;
use std::collections::BTreeSet;

/// What is so in the cluster or in the wish.
type Change = fn(&mut Given);

const CALICOS: &[(Code, Severity, &str, Change)] = &[
    (CalicoNotFound, Blocker, "cluster", |it| it.state.inventory = Inventory::default()),
    (CalicoNotFound, Blocker, "cluster", |it| it.there_is(daemon_set("another", &["calico/node:v3.30.3"]))),
    (CalicoBusy, Blocker, "DatastoreMigration to-v3", |it| {
        let kind = records("DatastoreMigration", "datastoremigrations");
        it.there_is(object(kind, "", "to-v3", json!({"status": {"phase": "Migrating"}})));
    }),
    (NoExport, Consent, "cluster", |it| {
        let mut agent = daemon_set("calico-node", &["calico/node:v3.30.3"]);
        let env = json!([{"name": "DATASTORE_TYPE", "value": "etcdv3"}]);
        agent.body["spec"]["template"]["spec"]["containers"][0]["env"] = env;
        it.there_is(agent);
    }),
    (KubeProxyMissing, Blocker, "DaemonSet kube-system/kube-proxy", |it| {
        let felix = records("FelixConfiguration", "felixconfigurations");
        it.there_is(object(felix, "", "default", json!({"spec": {"bpfEnabled": true}})));
        it.state.kube_proxy = None;
    }),
    (NamespaceKept, Note, "Namespace calico-system", |it| {
        let template =
            json!({"spec": {"template": {"spec": {"containers": [{"image": "calico/typha:v3.30.3"}]}}}});
        let deployments = Kind::namespaced("apps", "v1", "Deployment", "deployments");
        it.there_is(object(deployments, "calico-system", "calico-typha", template));
        it.there_is(object(config_maps(), "calico-system", "own", json!({})));
        it.there_is(object(
            Kind::cluster("", "v1", "Namespace", "namespaces"),
            "",
            "calico-system",
            json!({}),
        ));
    }),
    (FeatureLost, Warning, "BGPPeer rack", |it| {
        it.there_is(object(records("BGPPeer", "bgppeers"), "", "rack", json!({"spec": {}})));
    }),
    (PolicyUnenforced, Consent, "NetworkPolicy shop/deny", |it| {
        let kind = Kind::namespaced("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies");
        it.state.policies.push(Policy { object: ObjectRef::new(kind, "shop", "deny") });
    }),
];

const FLANNELS: &[(Code, Severity, &str, Change)] = &[
    (FlannelPresent, Blocker, "DaemonSet kube-system/other", |it| {
        it.there_is(daemon_set("other", &["flannel-io/flannel:v0.28.9"]));
    }),
    (FlannelPresent, Note, "DaemonSet kube-system/calico-node", canal),
    (FlannelPresent, Blocker, "DaemonSet kube-system/calico-node", |it| {
        canal(it);
        it.intent.network.manifest = Some(manifest("10.77.0.0/16", "own-flannel"));
    }),
    (FlannelPresent, Blocker, "ConfigMap kube-flannel/kube-flannel-cfg", |it| {
        it.there_is(object(config_maps(), "kube-flannel", "kube-flannel-cfg", json!({})));
    }),
    (FlannelPresent, Blocker, "DaemonSet kube-system/kube-proxy", |it| {
        it.there_is(daemon_set("kube-proxy", &["kube-proxy:v1.34.4"]));
        it.intent.network.manifest = Some(manifest("10.77.0.0/16", "kube-proxy"));
    }),
];

const CONTROL_PLANES: &[(Code, Severity, &str, Change)] = &[
    (NotKubeadm, Blocker, "ConfigMap kube-system/kubeadm-config", |it| it.state.kubeadm = None),
    (ControlPlaneEndpoint, Blocker, "controlPlaneEndpoint", |it| {
        it.kubeadm().control_plane_endpoint.clear();
    }),
    (ControlPlaneEndpoint, Blocker, "controlPlaneEndpoint", |it| {
        it.kubeadm().control_plane_endpoint = "172.31.0.1:6443".into();
    }),
    (HostUnreachable, Blocker, "Node cp1", |it| it.node("cp1").host = unreachable()),
    (HostUnreachable, Blocker, "Node w1", |it| {
        it.intent.strategy = Strategy::Cutover;
        it.node("w1").host = unreachable();
    }),
    (ForeignHostFiles, Blocker, "Node cp1", |it| {
        let HostAccess::Reachable(host) = &mut it.node("cp1").host else { return };
        host.foreign_files.insert("/etc/kubernetes/audit.yaml".into(), "digest".into());
    }),
    (ControllerManagerWouldCrash, Warning, "Node cp1", |it| {
        it.node("w2").pod_cidrs = vec!["10.9.0.0/24".parse().unwrap()];
    }),
    (EtcdUnhealthy, Blocker, "Pod kube-system/etcd-cp1", |it| it.state.pods[0].ready = false),
    (EtcdUnhealthy, Blocker, "Node cp1", |it| it.state.pods.clear()),
];

const MACHINES: &[(Code, Severity, &str, Change)] = &[
    (NoSnapshot, Consent, "provider", |it| it.provider().snapshot = SnapshotKind::None),
    (MachineNotKept, Consent, "Node w1", |it| {
        it.node("w1").machine.as_mut().unwrap().keeping = Keeping::Lost;
    }),
    (MachineUnknown, Blocker, "Node w1", |it| it.node("w1").machine = None),
    (InPlace, Consent, "Node w1", |it| it.provider().replacement = Replacement::InPlace),
    (InPlace, Blocker, "Node cp1", |it| it.provider().replacement = Replacement::InPlace),
    (InPlace, Blocker, "cluster", |it| {
        it.intent.strategy = Strategy::Cutover;
        it.provider().replacement = Replacement::InPlace;
    }),
    (NodeNotReady, Blocker, "Node cp1", |it| it.node("cp1").ready.health = Health::Bad),
    (NodeNotReady, Consent, "Node w1", |it| it.node("w1").ready.health = Health::Unknown),
];

const PODS: &[(Code, Severity, &str, Change)] = &[
    (BarePod, Consent, "Pod shop/debug", |it| it.runs("debug", Owner::Bare, vec![])),
    (EmptyDir, Consent, "ReplicaSet shop/web", |it| {
        it.runs("web-1", by("ReplicaSet", "web"), vec![PodVolume::EmptyDir { name: "cache".into() }]);
    }),
    (LocalVolume, Warning, "ReplicaSet shop/web", |it| {
        it.runs("web-1", by("ReplicaSet", "web"), vec![PodVolume::HostPath { path: "/srv".into() }]);
    }),
    (LocalVolume, Consent, "Pod shop/db-0", |it| {
        let claim = PodVolume::Claim { claim: "data-db-0".into(), local_to: Some("w1".into()) };
        it.runs("db-0", by("StatefulSet", "db"), vec![claim]);
    }),
    (BudgetNeverAllows, Blocker, "PodDisruptionBudget shop/web", |it| {
        it.guards("web", 2, &["web-1", "web-2"]);
    }),
    (TwoBudgets, Blocker, "Pod shop/web-1", |it| {
        it.guards("web", 1, &["web-1", "web-2"]);
        it.guards("all", 1, &["web-1", "db-0"]);
    }),
];

const SIDES: &[(Code, Severity, &str, Change)] = &[
    (Unbridged, Consent, "cluster", |_| {}),
    (Outage, Consent, "cluster", |it| it.intent.strategy = Strategy::Cutover),
    (PodServedWebhook, Blocker, GATE, |it| it.is_asked(webhooks(), "gate", WebhookFailure::Closed)),
    (PodServedWebhook, Warning, GATE, |it| it.is_asked(webhooks(), "gate", WebhookFailure::Open)),
    (PodServedWebhook, Consent, "APIService v1.metrics", |it| {
        it.is_asked(api_services(), "v1.metrics", WebhookFailure::Closed);
    }),
    (PodServedWebhook, Blocker, GATE, |it| {
        it.intent.strategy = Strategy::Cutover;
        it.is_asked(webhooks(), "gate", WebhookFailure::Closed);
    }),
];

const RANGES: &[(Code, Severity, &str, Change)] = &[
    (RangesOverlap, Blocker, "pod network 10.100.0.0/16", |it| wish(it, &["10.100.0.0/16"])),
    (RangesOverlap, Blocker, "cluster", |it| {
        let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
        it.state.service_ranges = private.iter().map(|range| range.parse().unwrap()).collect();
    }),
    (RangeTooSmall, Blocker, "pod network 10.77.0.0/23", |it| wish(it, &["10.77.0.0/23"])),
    (RangeTooLarge, Blocker, "pod network fd00:77::/40", |it| wish(it, &["10.77.0.0/16", "fd00:77::/40"])),
    (FamiliesDiffer, Blocker, "pod network", |it| wish(it, &["fd00:77::/48"])),
];

/// Found where an API server is asked (`cli/src/survey.rs`), since no state tells it.
const BY_OTHERS: [Code; 1] = [MissingRight];

const GATE: &str = "ValidatingWebhookConfiguration gate";

fn webhooks() -> Kind {
    let (kind, plural) = ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations");
    Kind::cluster("admissionregistration.k8s.io", "v1", kind, plural)
}

fn api_services() -> Kind {
    Kind::cluster("apiregistration.k8s.io", "v1", "APIService", "apiservices")
}

fn canal(it: &mut Given) {
    it.there_is(daemon_set("calico-node", &["calico/node:v3.30.3", "flannel/flannel:v0.24.4"]));
}

fn unreachable() -> HostAccess {
    HostAccess::None { reason: "connection refused".into() }
}

fn by(kind: &str, name: &str) -> Owner {
    Owner::Controller { kind: kind.into(), name: name.into() }
}

fn wish(it: &mut Given, ranges: &[&str]) {
    it.intent.network.pod_cidrs = ranges.iter().map(|range| range.parse().unwrap()).collect();
}

fn cases() -> impl Iterator<Item = &'static (Code, Severity, &'static str, Change)> {
    [CALICOS, FLANNELS, CONTROL_PLANES, MACHINES, PODS, SIDES, RANGES].into_iter().flatten()
}

#[test]
fn a_healthy_cluster_has_only_what_every_rolling_migration_has() {
    let found = Given::cluster().findings();
    let told: Vec<_> = found.iter().map(|f| (f.severity, f.code, f.object.as_str())).collect();
    assert_eq!(told, [(Consent, Unbridged, "cluster")]);
}

#[test]
fn each_thing_that_is_wrong_is_found_with_its_weight_and_its_object() {
    for (code, severity, on, given) in cases() {
        let mut it = Given::cluster();
        given(&mut it);
        let found = it.findings();
        let told = found.iter().filter(|f| f.code == *code && f.severity == *severity && f.object == *on);
        assert_eq!(told.count(), 1, "{code} {severity:?} {on}: {found:#?}");
    }
}

/// The codes as the schema lists them, so that a new one is asked for here.
#[test]
fn every_code_is_found_somewhere() {
    let schema = serde_json::to_value(schemars::schema_for!(Code)).unwrap();
    let listed =
        schema["oneOf"].as_array().unwrap().iter().map(|one| one["const"].as_str().unwrap().to_owned());
    let told = cases().map(|(code, ..)| *code).chain(BY_OTHERS).map(|code| code.to_string());
    assert_eq!(told.collect::<BTreeSet<_>>(), listed.collect());
}

#[test]
fn a_flannel_that_runs_is_told_once() {
    let mut it = Given::cluster();
    let mut agents = daemon_set("kube-flannel-ds", &["flannel-io/flannel:v0.28.9"]);
    agents.id.object.namespace = "kube-flannel".into();
    it.there_is(agents);
    let told = it.findings().into_iter().filter(|f| f.code == FlannelPresent);
    assert_eq!(told.map(|f| f.object).collect::<Vec<_>>(), ["DaemonSet kube-flannel/kube-flannel-ds"]);
}

#[test]
fn both_strategies_say_when_a_webhook_is_away() {
    let said = |strategy: Strategy| {
        let mut it = Given::cluster();
        it.intent.strategy = strategy;
        it.is_asked(webhooks(), "gate", WebhookFailure::Closed);
        let found = it.findings().into_iter().find(|f| f.code == PodServedWebhook).unwrap();
        assert!(!found.fix.contains("cutover"), "{}", found.fix);
        found.message
    };
    assert!(said(Strategy::Rolling).contains("on different sides"));
    assert!(said(Strategy::Cutover).contains("until the last control plane is replaced"));
}
