//! Given clusters, for tests: small and healthy, to be changed in the one thing that a test is about.

use super::{NotPlanned, assess, plan};
use crate::checks::{Consent, Finding};
use crate::ids::{ClusterUid, MachineId, NodeName, Uid};
use crate::intent::Intent;
use crate::object::{Kind, Object, ObjectId, ObjectRef};
use crate::plan::Plan;
use crate::state::{
    Budget, ClusterState, ControllerManager, Health, HostAccess, HostInventory, Inventory, KubeProxy,
    KubeadmConfig, MachineFacts, NodeState, Owner, PodPhase, PodState, PodVolume, Readiness, Webhook,
    WebhookFailure,
};
use replank_provider_protocol::{Capabilities, Keeping, Replacement, Role, SnapshotKind};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A cluster and a wish.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) state: ClusterState,
    pub(crate) intent: Intent,
}

impl Given {
    /// One control plane and two workers by kubeadm, with Calico from a manifest on 192.168.0.0/16 and a provider that
    /// can do everything.
    pub(crate) fn cluster() -> Self {
        let nodes = [("cp1", Role::ControlPlane, 1), ("w1", Role::Worker, 2), ("w2", Role::Worker, 3)];
        let state = ClusterState {
            uid: ClusterUid::new("given"),
            version: "v1.34.4".into(),
            nodes: nodes.into_iter().map(|(name, role, at)| (name.into(), node(name, role, at))).collect(),
            pods: vec![etcd("cp1")],
            budgets: Vec::new(),
            policies: Vec::new(),
            services: Vec::new(),
            webhooks: Vec::new(),
            inventory: inventory(),
            kubeadm: Some(kubeadm()),
            kube_proxy: Some(kube_proxy()),
            controller_managers: BTreeMap::from([("cp1".into(), controller_manager())]),
            service_ranges: vec!["10.96.0.0/12".parse().unwrap()],
            provider: Some(Capabilities {
                snapshot: SnapshotKind::Disk,
                replacement: Replacement::Fresh,
                keeping: Keeping::Stopped,
                hosts: true,
                load_balancer: false,
            }),
        };
        Self { state, intent: Intent::default() }
    }

    /// What stands in the way, and what is worth knowing.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        assess(&self.state, &self.intent).findings
    }

    /// The plan, with the operator's consent to everything.
    pub(crate) fn plan(&self) -> Plan {
        let mut intent = self.intent.clone();
        if let Err(NotPlanned::ConsentMissing(findings)) = plan(&self.state, &intent, "test") {
            intent.accept =
                findings.into_iter().map(|f| Consent { code: f.code, object: Some(f.object) }).collect();
        }
        plan(&self.state, &intent, "test").unwrap()
    }

    pub(crate) fn node(&mut self, name: &str) -> &mut NodeState {
        self.state.nodes.get_mut(&NodeName::new(name)).unwrap()
    }

    pub(crate) fn provider(&mut self) -> &mut Capabilities {
        self.state.provider.as_mut().unwrap()
    }

    pub(crate) fn kubeadm(&mut self) -> &mut KubeadmConfig {
        self.state.kubeadm.as_mut().unwrap()
    }

    /// Adds an object, or puts it in the place of the one of its name.
    pub(crate) fn there_is(&mut self, object: Object) {
        self.state.inventory.insert(object);
    }

    /// Adds a pod of namespace `shop` on `w1`.
    pub(crate) fn runs(&mut self, name: &str, owner: Owner, volumes: Vec<PodVolume>) {
        self.state.pods.push(PodState { volumes, ..pod("shop", name, "w1", owner) });
    }

    /// Adds a PodDisruptionBudget of namespace `shop` over these pods.
    pub(crate) fn guards(&mut self, name: &str, desired: i64, pods: &[&str]) {
        let expected = i64::try_from(pods.len()).unwrap();
        self.state.budgets.push(Budget {
            namespace: "shop".into(),
            name: name.into(),
            selector: Value::Null,
            min_available: Some(desired.to_string()),
            max_unavailable: None,
            disruptions_allowed: (expected - desired).max(0),
            current_healthy: expected,
            desired_healthy: desired,
            expected_pods: expected,
            pods: pods.iter().map(|pod| format!("shop/{pod}")).collect(),
        });
    }

    /// Adds a webhook or an aggregated API that pods of Service `shop/gate` serve.
    pub(crate) fn is_asked(&mut self, kind: Kind, name: &str, failure: WebhookFailure) {
        self.state.webhooks.push(Webhook {
            object: ObjectRef::new(kind, "", name),
            name: name.into(),
            service: "shop/gate".into(),
            failure,
            on_pod_network: true,
        });
    }
}

/// An object with a body of its own beside its head.
pub(crate) fn object(kind: Kind, namespace: &str, name: &str, body: Value) -> Object {
    let head = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": namespace},
    });
    let body = match (head, body) {
        (Value::Object(head), Value::Object(body)) => head.into_iter().chain(body).collect(),
        (head, _) => head,
    };
    let uid = Uid::new(format!("uid-of-{name}"));
    Object { id: ObjectId { object: ObjectRef::new(kind, namespace, name), uid }, body }
}

pub(crate) fn daemon_sets() -> Kind {
    Kind::namespaced("apps", "v1", "DaemonSet", "daemonsets")
}

pub(crate) fn config_maps() -> Kind {
    Kind::namespaced("", "v1", "ConfigMap", "configmaps")
}

/// A kind of Calico's own records.
pub(crate) fn records(kind: &str, plural: &str) -> Kind {
    Kind::cluster("crd.projectcalico.org", "v1", kind, plural)
}

/// A DaemonSet of namespace `kube-system` with these images.
pub(crate) fn daemon_set(name: &str, images: &[&str]) -> Object {
    let labels = json!({"k8s-app": name});
    let containers: Vec<Value> = images.iter().map(|image| json!({"image": image})).collect();
    object(
        daemon_sets(),
        "kube-system",
        name,
        json!({"spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        }}),
    )
}

/// A Flannel manifest of the user's own: its configuration, and its agents in `kube-system` by this name.
pub(crate) fn manifest(network: &str, agents: &str) -> String {
    let conf = json!({"Network": network, "Backend": {"Type": "vxlan"}}).to_string();
    let head = |kind: &Kind, name: &str| object(kind.clone(), "kube-system", name, json!({})).body;
    let mut map = head(&config_maps(), "own-flannel");
    map["data"] = json!({"net-conf.json": conf});
    let mut set = head(&daemon_sets(), agents);
    set["spec"] = json!({"template": {"spec": {"containers": [{"image": "own/flannel:v1"}]}}});
    format!("{map}\n---\n{set}\n")
}

fn inventory() -> Inventory {
    let pool = json!({"spec": {"cidr": "192.168.0.0/16", "ipipMode": "Always"}});
    let definition = json!({"spec": {
        "group": "crd.projectcalico.org",
        "scope": "Cluster",
        "names": {"kind": "IPPool", "plural": "ippools"},
        "versions": [{"name": "v1", "storage": true}],
    }});
    let definitions =
        Kind::cluster("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");
    let dns = json!({"spec": {
        "replicas": 2,
        "template": {"metadata": {"labels": {"k8s-app": "kube-dns"}}, "spec": {"containers": []}},
    }});
    let mut inventory = Inventory::default();
    for object in [
        daemon_set("calico-node", &["docker.io/calico/node:v3.30.3"]),
        object(definitions, "", "ippools.crd.projectcalico.org", definition),
        object(records("IPPool", "ippools"), "", "default", pool),
        object(Kind::namespaced("apps", "v1", "Deployment", "deployments"), "kube-system", "coredns", dns),
    ] {
        inventory.insert(object);
    }
    inventory
}

fn node(name: &str, role: Role, at: u8) -> NodeState {
    NodeState {
        name: NodeName::new(name),
        uid: Uid::new(format!("uid-of-{name}")),
        role,
        labels: BTreeMap::from([("kubernetes.io/hostname".into(), name.into())]),
        annotations: BTreeMap::new(),
        taints: Vec::new(),
        cordoned: false,
        pod_cidrs: vec![format!("192.168.{at}.0/24").parse().unwrap()],
        addresses: vec![format!("172.31.0.{at}").parse().unwrap()],
        provider_id: None,
        system_uuid: String::new(),
        ready: Readiness { health: Health::Good, message: "kubelet is posting ready status".into() },
        allocatable: BTreeMap::from([("cpu".into(), "4".into())]),
        csi_drivers: BTreeSet::new(),
        machine: Some(MachineFacts { id: MachineId::new(format!("m-{at}")), keeping: Keeping::Stopped }),
        host: HostAccess::Reachable(HostInventory {
            cni_configurations: vec!["10-calico.conflist".into()],
            ..HostInventory::default()
        }),
    }
}

fn pod(namespace: &str, name: &str, node: &str, owner: Owner) -> PodState {
    PodState {
        namespace: namespace.into(),
        name: name.into(),
        uid: Uid::new(format!("uid-of-{name}")),
        node: Some(NodeName::new(node)),
        owner,
        phase: PodPhase::Running,
        host_network: false,
        ready: true,
        terminating: false,
        ips: Vec::new(),
        labels: BTreeMap::new(),
        volumes: Vec::new(),
        tolerates_everything: false,
    }
}

fn etcd(node: &str) -> PodState {
    PodState {
        host_network: true,
        labels: BTreeMap::from([("component".into(), "etcd".into())]),
        ..pod("kube-system", &format!("etcd-{node}"), node, Owner::Mirror)
    }
}

fn kubeadm() -> KubeadmConfig {
    KubeadmConfig {
        object: object(config_maps(), "kube-system", "kubeadm-config", json!({})),
        control_plane_endpoint: "api.given:6443".into(),
        pod_subnet: vec!["192.168.0.0/16".parse().unwrap()],
        service_subnet: vec!["10.96.0.0/12".parse().unwrap()],
        controller_manager_args: BTreeMap::new(),
        kubernetes_version: "v1.34.4".into(),
    }
}

fn kube_proxy() -> KubeProxy {
    KubeProxy {
        config: object(config_maps(), "kube-system", "kube-proxy", json!({})),
        daemon_set: Some(daemon_set("kube-proxy", &["registry.k8s.io/kube-proxy:v1.34.4"])),
        cluster_cidr: vec!["192.168.0.0/16".parse().unwrap()],
    }
}

fn controller_manager() -> ControllerManager {
    let flags = [("allocate-node-cidrs", "true"), ("cluster-cidr", "192.168.0.0/16")];
    ControllerManager { flags: flags.map(|(name, value)| (name.into(), value.into())).into() }
}
