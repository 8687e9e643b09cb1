//! A small simulated cluster: one control plane and a few workers with a flat network.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_cloud_init::{CgroupDriver, Families, Join, KubeletArguments, Secret};
use replank_execution::clock::VirtualClock;
use replank_execution::world::Entropy;
use replank_execution::{Settings, World, observe};
use replank_planning::state::ClusterState;
use replank_provider_protocol::verbs::InitializeParams;
use replank_provider_simulator::SimulatorProvider;
use replank_simulator::machines::{Caller, CreateMachine, Datacenter, Durations, MachineRole};
use replank_simulator::server::Server;
use replank_simulator::{Clock, agents, controllers};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const TOKEN: &str = "abcdef.0123456789abcdef";

/// Secrets that are the same in every test.
#[derive(Default)]
pub struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        for byte in buffer {
            *byte = (self.0.fetch_add(7, Ordering::Relaxed) % 251) as u8;
        }
        Ok(())
    }
}

/// The cluster of a story.
pub struct Cluster {
    pub server: Server,
    pub datacenter: Datacenter,
    pub client: kube::Client,
}

impl Cluster {
    /// One control plane `cp1` and these workers, all ready.
    pub async fn with_workers(workers: &[&str]) -> Self {
        Self::seeded(7, workers).await
    }

    /// Another cluster: its seed tells it from the others.
    pub async fn with_uid(seed: u64) -> Self {
        Self::seeded(seed, &["w1"]).await
    }

    async fn seeded(seed: u64, workers: &[&str]) -> Self {
        let server = Server::new(Clock::fixed(), seed);
        let programs = agents::programs().and(controllers::programs());
        let datacenter = Datacenter::embedded(&server, programs, Durations::default(), seed);
        let client = kube::Client::new(datacenter.router().merge(server.router()), "default");
        let cluster = Self { server, datacenter, client };
        cluster.initialise().await;
        for worker in workers {
            cluster.join(worker).await;
        }
        for (at, node) in std::iter::once(&"cp1").chain(workers).enumerate() {
            cluster.bridge(node, &format!("10.9.{at}.0/24"));
        }
        cluster
            .until("every node is ready", |nodes| {
                nodes.len() == workers.len() + 1 && nodes.iter().all(|n| condition(n, "Ready") == "True")
            })
            .await;
        cluster
    }

    async fn initialise(&self) {
        let config = json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration",
            "controlPlaneEndpoint": "api.story:6443",
            "networking": {"podSubnet": "192.168.0.0/16"},
        });
        let user_data = json!({
            "write_files": [{"path": "/run/kubeadm.yaml", "content": config.to_string(), "permissions": "0600"}],
            "runcmd": ["kubeadm init --config /run/kubeadm.yaml"],
        });
        self.create("cp1", MachineRole::ControlPlane, &format!("#cloud-config\n{user_data}"));
        self.until_console("cp1", "Cloud-init finished").await;
        assert!(self.console("cp1").contains("initialized successfully"), "{}", self.console("cp1"));
        let data = |text: &str| json!(STANDARD.encode(text));
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
            "data": {
                "token-id": data("abcdef"), "token-secret": data("0123456789abcdef"),
                "usage-bootstrap-authentication": data("true"), "usage-bootstrap-signing": data("true"),
                "expiration": data("2030-01-01T00:00:00Z"),
            },
        });
        self.make("/api/v1/namespaces/kube-system/secrets", &secret).await;
    }

    async fn join(&self, name: &str) {
        let api = self.world().api();
        let map = api.get("/api/v1/namespaces/kube-public/configmaps/cluster-info").await.unwrap();
        let config: Value = serde_saphyr::from_str(map["data"]["kubeconfig"].as_str().unwrap()).unwrap();
        let data = config["clusters"][0]["cluster"]["certificate-authority-data"].as_str().unwrap();
        let pem = String::from_utf8(STANDARD.decode(data).unwrap()).unwrap();
        let join = Join {
            node_name: name.to_owned(),
            endpoint: "api.story:6443".to_owned(),
            token: Secret::new(TOKEN),
            ca_cert_hashes: vec![replank_execution::steps::create_machine::authority::pin(&pem).unwrap()],
            taints: Vec::new(),
            control_plane: None,
            kubernetes_version: "v1.34.4".to_owned(),
            families: Families::V4,
            kubelet: KubeletArguments::default(),
            cgroup_driver: CgroupDriver::Systemd,
            requirements: Vec::new(),
            files: Vec::new(),
            static_pods: Vec::new(),
        };
        self.create(name, MachineRole::Worker, &join.cloud_config().render());
        self.until_console(name, "Cloud-init finished").await;
        assert!(self.console(name).contains("has joined the cluster"), "{}", self.console(name));
    }

    fn create(&self, name: &str, role: MachineRole, user_data: &str) {
        let order = CreateMachine {
            operation_id: format!("create-{name}"),
            name: name.to_owned(),
            user_data: STANDARD.encode(user_data),
            role,
            ..CreateMachine::default()
        };
        self.datacenter.create(&order, "story").unwrap();
    }

    /// A flat network on a host.
    fn bridge(&self, name: &str, subnet: &str) {
        let conf = json!({"cniVersion": "1.0.0", "name": "flat", "plugins": [
            {"type": "bridge", "ipam": {"type": "host-local", "subnet": subnet}},
        ]});
        let id = self.machine_id(name);
        let path = "/etc/cni/net.d/50-flat.conflist";
        let content = conf.to_string();
        self.datacenter.write_file(&id, path, Some((content.as_bytes(), 0o644)), Caller::default()).unwrap();
    }

    pub fn machine_id(&self, name: &str) -> String {
        self.datacenter.machines().into_iter().find(|m| m.name == name).expect("the machine exists").id
    }

    fn console(&self, name: &str) -> String {
        self.datacenter.console(&self.machine_id(name)).unwrap()
    }

    async fn until_console(&self, name: &str, text: &str) {
        for _ in 0..1200 {
            if self.console(name).contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("waited in vain for {text:?} of {name}: {}", self.console(name));
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) {
        let api = self.world().api();
        for _ in 0..1200 {
            let nodes = api.list("/api/v1/nodes", "").await.map(|(nodes, _)| nodes).unwrap_or_default();
            if holds(&nodes) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("waited in vain until {what}");
    }

    pub async fn make(&self, collection: &str, body: &Value) {
        self.world().api().create(collection, body).await.unwrap();
    }

    pub async fn list(&self, collection: &str) -> Vec<Value> {
        self.world().api().list(collection, "").await.unwrap().0
    }

    /// A Deployment with so many pods, all ready when this returns.
    pub async fn deployment(&self, name: &str, replicas: u32) {
        let labels = json!({"app": name});
        let body = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "main", "image": "example/web:1"}]},
                },
            },
        });
        self.make("/apis/apps/v1/namespaces/default/deployments", &body).await;
        for _ in 0..600 {
            let pods = self.list("/api/v1/namespaces/default/pods").await;
            let ready = pods.iter().filter(|p| p["metadata"]["labels"]["app"] == name);
            if ready.filter(|p| condition(p, "Ready") == "True").count() == replicas as usize {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("the pods of {name} are not ready");
    }

    /// A disruption budget whose controller has looked at it.
    pub async fn budget(&self, name: &str, spec: Value) {
        let collection = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
        let body = json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": name, "namespace": "default"}, "spec": spec,
        });
        self.make(collection, &body).await;
        for _ in 0..100 {
            let there = self.list(collection).await;
            if there.iter().all(|b| b["status"]["observedGeneration"] == b["metadata"]["generation"]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("nobody looks at budgets");
    }

    /// A pod that nobody would make again, running on a node.
    pub async fn pod(&self, name: &str, node: &str, spec: Value) {
        let mut whole =
            json!({"nodeName": node, "containers": [{"name": "main", "image": "example/tool:1"}]});
        for (key, value) in spec.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        let body = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": whole,
        });
        self.make("/api/v1/namespaces/default/pods", &body).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
    }

    /// The outside of a run.
    pub fn world(&self) -> World {
        let provider = Arc::new(SimulatorProvider::new(self.client.clone()));
        World::new(self.client.clone(), provider)
            .with_clock(Arc::new(VirtualClock::starting_at(self.server.clock().now())))
            .with_entropy(Arc::new(Counting::default()))
    }

    /// The cluster as it is now.
    pub async fn observed(&self) -> ClusterState {
        let world = self.world();
        let params = InitializeParams { protocol_versions: vec![1], settings: Value::Null };
        let capabilities = world.provider.initialize(params).await.unwrap().capabilities;
        observe(&world, &Settings::with_provider(capabilities)).await.unwrap()
    }
}

/// A condition's status.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|c| c["type"] == kind);
    found.and_then(|c| c["status"].as_str()).unwrap_or("absent")
}
