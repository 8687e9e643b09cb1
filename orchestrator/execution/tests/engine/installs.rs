//! Every kind of Calico install, migrated whole by both strategies.

use crate::migration::{migrate, observed, only_planned, planned, world_of};
use crate::runs::journal;
use replank_execution::Outcome;
use replank_planning::checks::{Code, Severity};
use replank_planning::cni::calico::detect::{Api, Datastore, Encapsulation, InstallKind};
use replank_planning::intent::{Intent, Strategy};
use replank_planning::plan::{Action, Plan};
use replank_planning::planner::{self, NotPlanned, assess};
use replank_simulator::Clock;
use replank_simulator::machines::MachineState;
use replank_simulator::observer::{Inventory, leftovers};
use replank_simulator::scenario::builtin::{Calico, Shape};
use replank_simulator::scenario::{Cluster, ClusterSpec};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Builds the cluster, migrates it, and looks at what is left.
async fn story(calico: Calico, strategy: Strategy) -> Cluster {
    story_with(ClusterSpec::small(calico), Intent { strategy, ..Intent::default() }).await
}

/// The same for any cluster and any wish.
pub async fn story_with(spec: ClusterSpec, intent: Intent) -> Cluster {
    let cluster = Cluster::build(spec, Clock::fixed()).await.unwrap();
    let plan = planned(&observed(&world_of(&cluster)).await, intent);
    let directory = tempfile::tempdir().unwrap();
    let outcome = migrate(&cluster, plan.clone(), directory.path()).await;
    assert_eq!(outcome, Outcome::Finished, "{}", journal(directory.path()));
    let after = Inventory::of(&cluster.objects());
    let (before, installed) = (Inventory::of(&cluster.before_network), Inventory::of(&cluster.with_network));
    assert_eq!(leftovers(&before, &installed, &after), Vec::<String>::new());
    only_planned(&cluster, &plan);
    cluster
}

/// The steps that remove an install, as the plan has them.
fn removal(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let Action::RemoveObjects(removal) = &step.action else { continue };
        writeln!(text, "{}: {}", step.id, removal.purpose).unwrap();
        for (at, stage) in removal.stages.iter().enumerate() {
            writeln!(text, "  stage {}", at + 1).unwrap();
            let objects = stage.objects.iter().map(|id| &id.object).chain(&stage.references);
            let kinds = stage.kinds.iter().map(|kind| format!("every {}.{}", kind.plural, kind.group));
            let orphaned = stage.orphaned_finalizers.iter().map(|name| format!("takes {name} off"));
            for line in objects.map(ToString::to_string).chain(kinds).chain(orphaned) {
                writeln!(text, "    {line}").unwrap();
            }
        }
    }
    text
}

/// The findings of one code, each with its severity.
async fn found(cluster: &Cluster, code: Code) -> Vec<(Severity, String)> {
    let assessment = assess(&observed(&world_of(cluster)).await, &Intent::default());
    let of = assessment.findings.into_iter().filter(|finding| finding.code == code);
    of.map(|finding| (finding.severity, finding.message)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_install_is_recognised_and_goes_in_its_own_order() {
    use Encapsulation::{Flannel, Ipip, Unknown, Vxlan};
    for (shape, kind, datastore, encapsulation, api) in [
        (Shape::Manifest, InstallKind::Manifest, Datastore::Kubernetes, Ipip, Api::Crd),
        (Shape::Typha, InstallKind::Manifest, Datastore::Kubernetes, Ipip, Api::Crd),
        (Shape::Ebpf, InstallKind::Manifest, Datastore::Kubernetes, Ipip, Api::Crd),
        (Shape::Etcd, InstallKind::Manifest, Datastore::Etcd, Unknown, Api::Nothing),
        (Shape::Canal, InstallKind::Canal, Datastore::Kubernetes, Flannel, Api::Crd),
        (Shape::Definitions, InstallKind::Manifest, Datastore::Kubernetes, Ipip, Api::V3),
        (Shape::Operator, InstallKind::Operator, Datastore::Kubernetes, Vxlan, Api::Aggregated),
    ] {
        let calico = Calico::of(shape);
        let version = calico.version.clone();
        let cluster = Cluster::build(ClusterSpec::small(calico), Clock::fixed()).await.unwrap();
        let state = observed(&world_of(&cluster)).await;
        let install = assess(&state, &Intent::default()).install.unwrap();
        let seen = (install.kind, install.datastore, install.encapsulation, install.api, install.version);
        assert_eq!(seen, (kind, datastore, encapsulation, api, version), "{shape:?}");
        let order = removal(&planned(&state, Intent::default()));
        insta::assert_snapshot!(format!("removal of {shape:?}"), order);
    }
}

/// The versions that brought accounts of their own, tiers and their reader, and what came before.
#[tokio::test(start_paused = true)]
async fn old_and_new_versions_of_the_manifest_go_alike() {
    for (minor, roles) in [(25, 2), (28, 3), (32, 4)] {
        let version = format!("v3.{minor}.0");
        let calico = Calico { version: version.clone(), ..Calico::default() };
        let cluster = story(calico, Strategy::Rolling).await;
        let detected = cluster.before_run.iter().find(|(r, _)| r.kind == "ClusterInformation");
        assert_eq!(detected.unwrap().1["spec"]["calicoVersion"], version);
        let calicos = |object: &serde_json::Value| {
            object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("calico-"))
        };
        let count = cluster.before_run.iter().filter(|(r, o)| r.kind == "ClusterRole" && calicos(o)).count();
        assert_eq!(count, roles, "{version}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_export_that_cannot_be_made_needs_the_operators_word() {
    let spec = ClusterSpec::small(Calico::of(Shape::Etcd));
    let cluster = Cluster::build(spec, Clock::fixed()).await.unwrap();
    let state = observed(&world_of(&cluster)).await;
    assert_eq!(found(&cluster, Code::NoExport).await[0].0, Severity::Consent);
    let Err(NotPlanned::ConsentMissing(missing)) = planner::plan(&state, &Intent::default(), "test") else {
        panic!("a plan was made without the operator's word")
    };
    assert!(missing.iter().any(|finding| finding.code == Code::NoExport));
}

#[tokio::test(start_paused = true)]
async fn a_move_of_calicos_records_under_way_blocks() {
    let spec = ClusterSpec::small(Calico::of(Shape::Definitions));
    let cluster = Cluster::build(spec, Clock::fixed()).await.unwrap();
    let api = world_of(&cluster).api();
    let group = "migration.projectcalico.org";
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("datastoremigrations.{group}")},
        "spec": {
            "group": group, "scope": "Cluster",
            "names": {
                "kind": "DatastoreMigration", "listKind": "DatastoreMigrationList",
                "plural": "datastoremigrations", "singular": "datastoremigration",
            },
            "versions": [{"name": "v1beta1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    });
    api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await.unwrap();
    assert!(found(&cluster, Code::CalicoBusy).await.is_empty(), "the kind alone is in nobody's way");
    let migration = json!({
        "apiVersion": format!("{group}/v1beta1"), "kind": "DatastoreMigration",
        "metadata": {"name": "v1-to-v3"}, "spec": {}, "status": {"phase": "Migrating"},
    });
    api.create(&format!("/apis/{group}/v1beta1/datastoremigrations"), &migration).await.unwrap();
    let busy = found(&cluster, Code::CalicoBusy).await;
    assert_eq!(busy[0].0, Severity::Blocker);
    assert!(busy[0].1.contains("phase Migrating"), "{}", busy[0].1);
}

/// Pools and tiers were held by finalizers, and nobody but kube-controllers took them off.
fn finalizers_cleared_by_controllers(cluster: &Cluster) {
    for kind in ["IPPool", "Tier"] {
        let (_, object) = cluster.before_run.iter().find(|(r, _)| r.kind == kind).unwrap();
        assert!(!object["metadata"]["finalizers"].as_array().unwrap().is_empty(), "{kind}");
    }
    // Who took them off: the stand-in itself, while the run waited.
    let stripped = cluster.server.requests().select(|request| {
        request.verb == "patch"
            && request.client.starts_with("replank")
            && (request.url.contains("/ippools/") || request.url.contains("/tiers/"))
    });
    assert!(stripped.is_empty(), "{stripped:?}");
}

/// The Nodes' devices of one kind, as the new hosts have them.
fn devices(cluster: &Cluster) -> BTreeSet<String> {
    let running = cluster.datacenter.machines().into_iter().filter(|m| m.state == MachineState::Running);
    let hosts = running.filter_map(|m| cluster.datacenter.host(&m.id).ok());
    hosts.flat_map(|host| host.interfaces().into_keys()).collect()
}

/// Two Flannels existed at once, and each had a network of its own.
fn networks_apart(cluster: &Cluster) {
    let devices = devices(cluster);
    assert!(devices.contains("flannel.2") && !devices.contains("flannel.1"), "{devices:?}");
    for (_, node) in cluster.objects().iter().filter(|(r, _)| r.kind == "Node") {
        assert!(node["spec"]["podCIDR"].as_str().unwrap().starts_with("10.245."), "{}", node["spec"]);
        let data = &node["metadata"]["annotations"]["flannel.alpha.coreos.com/backend-data"];
        assert!(data.as_str().unwrap().contains("\"VNI\":2"), "{data}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_would_meet_canals_flannel_is_refused() {
    let cluster = Cluster::build(ClusterSpec::small(Calico::of(Shape::Canal)), Clock::fixed()).await.unwrap();
    let state = observed(&world_of(&cluster)).await;
    assert!(devices(&cluster).contains("flannel.1"), "{:?}", devices(&cluster));
    let note = found(&cluster, Code::FlannelPresent).await;
    assert_eq!(note[0].0, Severity::Note);
    assert!(note[0].1.contains("VXLAN network 1; the new one gets VXLAN network 2"), "{}", note[0].1);
    let refused = |backend: &str, role: &str| {
        let mut intent = Intent::default();
        intent.network.manifest = Some(own_flannel("10.77.0.0/16", backend, role));
        let findings = assess(&state, &intent).of(Severity::Blocker);
        findings.into_iter().map(|f| format!("{} {}", f.code, f.object)).collect::<Vec<_>>()
    };
    let vxlan = r#"{"Type": "vxlan"}"#;
    assert_eq!(refused(vxlan, "own-flannel"), ["flannel-present DaemonSet kube-system/canal"]);
    assert_eq!(refused(r#"{"Type": "vxlan", "VNI": 9}"#, "flannel"), ["flannel-present ClusterRole flannel"]);
    assert!(refused(r#"{"Type": "vxlan", "VNI": 9}"#, "own-flannel").is_empty());
    assert!(refused(r#"{"Type": "host-gw"}"#, "own-flannel").is_empty());
}

/// A Flannel manifest of a user's own.
fn own_flannel(network: &str, backend: &str, role: &str) -> String {
    format!(
        r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {role}}}
rules: []
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: own-flannel, namespace: own-flannel}}
data:
  net-conf.json: '{{"Network": "{network}", "Backend": {backend}}}'
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: own-flannel, namespace: own-flannel}}
spec:
  template:
    spec:
      containers: [{{name: flannel, image: registry.example/flannel-io/flannel:v0.28.9}}]
"#
    )
}

#[tokio::test(start_paused = true)]
async fn kube_proxy_runs_again_before_the_first_node_is_replaced() {
    let cluster = Cluster::build(ClusterSpec::small(Calico::of(Shape::Ebpf)), Clock::fixed()).await.unwrap();
    assert_eq!(proxies(&cluster), 0);
    for strategy in [Strategy::Rolling, Strategy::Cutover] {
        let plan = planned(&observed(&world_of(&cluster)).await, Intent { strategy, ..Intent::default() });
        let at =
            |wanted: &dyn Fn(&str) -> bool| plan.steps.iter().position(|s| wanted(s.id.as_str())).unwrap();
        let restored = at(&|id| id.ends_with("/kube-proxy") && !id.starts_with("hand-back"));
        assert!(restored < at(&|id| id.starts_with("remove-calico")), "{strategy:?}");
        assert!(restored < at(&|id| id.ends_with("/create")), "{strategy:?}");
    }
}

/// How many Nodes kube-proxy is wanted on.
fn proxies(cluster: &Cluster) -> u64 {
    let objects = cluster.objects();
    let is_proxy = |object: &serde_json::Value| object["metadata"]["name"] == "kube-proxy";
    let (_, set) = objects.iter().find(|(r, o)| r.kind == "DaemonSet" && is_proxy(o)).unwrap();
    set["status"]["desiredNumberScheduled"].as_u64().unwrap()
}

/// What must be true of a kind of install beyond what is true of all.
fn look_closer(shape: Shape, cluster: &Cluster) {
    match shape {
        Shape::Canal => networks_apart(cluster),
        Shape::Definitions => finalizers_cleared_by_controllers(cluster),
        Shape::Ebpf => assert_eq!(proxies(cluster), 3),
        Shape::Manifest | Shape::Typha | Shape::Etcd | Shape::Operator => {}
    }
}

macro_rules! stories {
    ($($shape:ident: $rolling:ident, $cutover:ident;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $rolling() {
            look_closer(Shape::$shape, &story(Calico::of(Shape::$shape), Strategy::Rolling).await);
        }

        #[tokio::test(start_paused = true)]
        async fn $cutover() {
            look_closer(Shape::$shape, &story(Calico::of(Shape::$shape), Strategy::Cutover).await);
        }
    )*};
}

stories! {
    Typha: typha_goes_with_its_agents_node_by_node, typha_goes_with_its_agents_at_once;
    Ebpf: ebpf_gives_services_back_to_kube_proxy_node_by_node, ebpf_gives_services_back_to_kube_proxy_at_once;
    Etcd: records_in_etcd_node_by_node, records_in_etcd_at_once;
    Canal: canal_becomes_flannel_node_by_node, canal_becomes_flannel_at_once;
    Definitions: kinds_of_v3_node_by_node, kinds_of_v3_at_once;
    Operator: the_operator_takes_its_calico_down_node_by_node, the_operator_takes_its_calico_down_at_once;
}
