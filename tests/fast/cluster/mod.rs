//! A small kubeadm cluster in this process, as the suites need it: virtual time, all controllers,
//! all agents, and nothing of ours.

mod manifests;
mod view;

use std::time::Duration;

use kube::Client;
use replank_simulator::machines::{CreateMachine, Datacenter, Durations, MachineRole};
use replank_simulator::server::Server;
use replank_simulator::{Clock, agents, controllers};
use serde_json::{Value, json};

pub(crate) use view::{annotation, condition, text};

const TOKEN: &str = "abcdef.0123456789abcdef";

/// The cluster of a story.
pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) datacenter: Datacenter,
    pub(crate) client: Client,
}

impl Cluster {
    /// One control plane `cp1` and workers `w1`, `w2` and so on, without a pod network.
    pub(crate) async fn new(workers: usize) -> Self {
        let server = Server::new(Clock::fixed(), 11);
        agents::serve_calico_api(&server);
        let programs = controllers::programs().and(agents::programs());
        let datacenter = Datacenter::embedded(&server, programs, Durations::default(), 11);
        let cluster = Self { client: server.client("story"), server, datacenter };
        cluster.boot("cp1", MachineRole::ControlPlane, &init(), "kubeadm init --config /run/kubeadm.yaml");
        cluster.node("cp1").await;
        cluster
            .until("cp1's first boot", || async { cluster.console("cp1").contains("Cloud-init finished") })
            .await;
        cluster.create(bootstrap_token()).await;
        for number in 1..=workers {
            cluster.join(&format!("w{number}")).await;
        }
        cluster
    }

    /// Adds a worker.
    pub(crate) async fn join(&self, name: &str) {
        let config = json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration",
            "discovery": {"bootstrapToken": {
                "token": TOKEN, "apiServerEndpoint": "api.story:6443", "unsafeSkipCAVerification": true,
            }},
        });
        self.boot(name, MachineRole::Worker, &config, "kubeadm join --config /run/kubeadm.yaml");
        self.node(name).await;
    }

    fn boot(&self, name: &str, role: MachineRole, config: &Value, command: &str) {
        let user_data = json!({
            "write_files": [{"path": "/run/kubeadm.yaml", "content": config.to_string(), "permissions": "0600"}],
            "runcmd": [command],
        });
        let order = CreateMachine {
            operation_id: format!("create-{name}"),
            name: name.to_owned(),
            user_data: base64(&format!("#cloud-config\n{user_data}")),
            role,
            ..CreateMachine::default()
        };
        self.datacenter.create(&order, "story").expect("the machine can be made");
    }

    /// What a machine's screen has shown.
    pub(crate) fn console(&self, name: &str) -> String {
        let machines = self.datacenter.machines();
        let machine = machines.iter().find(|machine| machine.name == name).expect("the machine exists");
        self.datacenter.console(&machine.id).expect("a machine has a console")
    }

    /// Waits until something holds; after ten minutes it never will.
    pub(crate) async fn until<F>(&self, what: &str, holds: impl Fn() -> F)
    where
        F: Future<Output = bool>,
    {
        for _ in 0..600 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("waited in vain for {what}:\n{}", self.troubles().await.join("\n"));
    }
}

fn init() -> Value {
    json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration",
        "controlPlaneEndpoint": "api.story:6443",
        "networking": {"podSubnet": "192.168.0.0/16"},
    })
}

fn bootstrap_token() -> Value {
    let (id, secret) = TOKEN.split_once('.').expect("a bootstrap token has two parts");
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "data": {
            "token-id": base64(id), "token-secret": base64(secret),
            "usage-bootstrap-authentication": base64("true"), "usage-bootstrap-signing": base64("true"),
            "expiration": base64("2030-01-01T00:00:00Z"),
        },
    })
}

fn base64(text: &str) -> String {
    let bytes = k8s_openapi::ByteString(text.as_bytes().to_vec());
    let value = serde_json::to_value(bytes).expect("bytes are a JSON string");
    value.as_str().expect("bytes are a JSON string").to_owned()
}
