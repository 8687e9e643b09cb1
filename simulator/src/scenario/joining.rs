//! Making machines and letting them join, as an operator with kubeadm would.

use super::ScenarioError;
use crate::machines::api::{Api, core, text};
use crate::machines::{Caller, CreateMachine, Datacenter, MachineRole};
use crate::server::Server;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The name that stands before all control planes.
pub(super) const ENDPOINT: &str = "api.cluster.local:6443";
/// A token of the cluster's first hour; it is deleted once every machine has joined.
const TOKEN: (&str, &str) = ("abcdef", "0123456789abcdef");
const CERTIFICATE_KEY: &str = "2f1c4e6a8b0d3f5172839405a6b7c8d9e0f112233445566778899aabbccddeef";

/// Makes the machines of a new cluster.
pub(super) struct Joining<'a> {
    pub(super) server: &'a Server,
    pub(super) datacenter: &'a Datacenter,
}

impl Joining<'_> {
    /// Makes the first control plane.
    pub(super) fn init(&self, name: &str, pods: &str, services: &str) -> Result<(), ScenarioError> {
        let cluster = json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration",
            "clusterName": "kubernetes",
            "controlPlaneEndpoint": ENDPOINT,
            "networking": {"podSubnet": pods, "serviceSubnet": services, "dnsDomain": "cluster.local"},
        });
        self.create(name, MachineRole::ControlPlane, &cluster, "kubeadm init --config /run/kubeadm.yaml")
    }

    /// Puts the token that joins need into the cluster.
    pub(super) async fn token(&self) -> Result<(), ScenarioError> {
        let data = |value: &str| STANDARD.encode(value);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": format!("bootstrap-token-{}", TOKEN.0), "namespace": "kube-system"},
            "data": {
                "token-id": data(TOKEN.0), "token-secret": data(TOKEN.1),
                "usage-bootstrap-authentication": data("true"), "usage-bootstrap-signing": data("true"),
                "auth-extra-groups": data("system:bootstrappers:kubeadm:default-node-token"),
            },
        });
        let api = Api::new(self.server.client("kubeadm"));
        api.ensure(&core("kube-system", "secrets", ""), &secret).await.map_err(|failure| {
            ScenarioError::Refused { object: "the bootstrap token".to_owned(), reason: failure.to_string() }
        })
    }

    /// Takes what was only for joining away again.
    pub(super) async fn forget_token(&self) {
        let api = Api::new(self.server.client("kubeadm"));
        for name in [format!("bootstrap-token-{}", TOKEN.0), "kubeadm-certs".to_owned()] {
            // Gone is what is wanted; whether it was there does not matter.
            let _ = api.delete(&core("kube-system", "secrets", &name), &json!({})).await;
        }
    }

    /// Lets the first control plane hand out its certificates.
    pub(super) async fn upload_certificates(&self, machine: &str) -> Result<(), ScenarioError> {
        let line =
            format!("kubeadm init phase upload-certs --upload-certs --certificate-key {CERTIFICATE_KEY}");
        self.run(machine, &line).await.map(|_| ())
    }

    /// Begins a machine that joins.
    pub(super) async fn join(&self, name: &str, role: MachineRole) -> Result<(), ScenarioError> {
        let mut join = json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration",
            "discovery": {"bootstrapToken": {
                "token": format!("{}.{}", TOKEN.0, TOKEN.1),
                "apiServerEndpoint": ENDPOINT,
                "caCertHashes": [self.pin().await?],
            }},
            "nodeRegistration": {"name": name},
        });
        if role == MachineRole::ControlPlane {
            join["controlPlane"] = json!({"certificateKey": CERTIFICATE_KEY});
        }
        self.create(name, role, &join, "kubeadm join --config /run/kubeadm.yaml")
    }

    async fn pin(&self) -> Result<String, ScenarioError> {
        let refused =
            |reason: String| ScenarioError::Refused { object: "ConfigMap cluster-info".to_owned(), reason };
        let api = Api::new(self.server.client("kubeadm"));
        let map = api.get(&core("kube-public", "configmaps", "cluster-info")).await;
        let map = map.map_err(|failure| refused(failure.to_string()))?;
        let config: Value =
            serde_saphyr::from_str(text(&map, "/data/kubeconfig")).map_err(|e| refused(e.to_string()))?;
        let data = text(&config, "/clusters/0/cluster/certificate-authority-data");
        let pem = STANDARD.decode(data).map_err(|e| refused(e.to_string()))?;
        crate::machines::kubeadm_pin(&String::from_utf8_lossy(&pem))
            .ok_or_else(|| refused("it holds no certificate".to_owned()))
    }

    fn create(
        &self,
        name: &str,
        role: MachineRole,
        config: &Value,
        command: &str,
    ) -> Result<(), ScenarioError> {
        let user_data = json!({
            "write_files": [{"path": "/run/kubeadm.yaml", "content": config.to_string(), "permissions": "0600"}],
            "runcmd": [command],
        });
        let order = CreateMachine {
            operation_id: format!("cluster/{name}"),
            name: name.to_owned(),
            user_data: STANDARD.encode(format!("#cloud-config\n{user_data}")),
            role,
            ..CreateMachine::default()
        };
        let failed = |source| ScenarioError::Machine { machine: name.to_owned(), source };
        self.datacenter.create(&order, "scenario").map(|_| ()).map_err(failed)
    }

    /// Runs a command on a machine's host.
    pub(super) async fn run(&self, machine: &str, line: &str) -> Result<String, ScenarioError> {
        let argv: Vec<String> = ["sh", "-c", line].map(str::to_owned).to_vec();
        let found = self.datacenter.machines().into_iter().find(|m| m.name == machine);
        let id = found.map(|m| m.id).unwrap_or_default();
        let failed = |source| ScenarioError::Machine { machine: machine.to_owned(), source };
        let output = self.datacenter.run(&id, &argv, b"", Caller::default()).await.map_err(failed)?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status == 0 {
            return Ok(text);
        }
        Err(ScenarioError::Command { machine: machine.to_owned(), command: line.to_owned(), output: text })
    }
}
