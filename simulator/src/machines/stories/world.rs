//! A small cluster for the stories: machines around an embedded server, no controllers.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::machines::api::{Api, core, text};
use crate::machines::{
    Caller, ContainerSpecView, CreateMachine, Datacenter, Durations, Exit, MachineRole, MachineView, Program,
    ProgramContext, Programs,
};
use crate::server::Server;

pub(crate) const KEY: &str = "0011223344556677889900112233445566778899001122334455667788990011";
const TOKEN: &str = "abcdef.0123456789abcdef";

/// Runs until it is asked to stop, ready after a second; publishes its flags on the host.
struct Recorder;

impl Program for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn matches(&self, container: &ContainerSpecView<'_>) -> bool {
        container.mentions("kube-controller-manager")
    }

    fn run(&self, context: ProgramContext) -> BoxFuture<'static, Exit> {
        async move {
            let cidr = context.flag("cluster-cidr").unwrap_or_default();
            context.host.publish("cluster-cidr", &cidr);
            tokio::time::sleep(Duration::from_secs(1)).await;
            context.set_ready(true);
            context.stop.cancelled().await;
            Exit::OK
        }
        .boxed()
    }
}

/// Where a host's flat network is described.
pub(crate) const BRIDGE: &str = "/etc/cni/net.d/50-flat.conflist";

/// A flat network: every pod gets an address of this range.
pub(crate) fn bridge(subnet: &str) -> String {
    let plugin = json!({"type": "bridge", "ipam": {"type": "host-local", "subnet": subnet}});
    json!({"cniVersion": "1.0.0", "name": "flat", "plugins": [plugin]}).to_string()
}

/// A machine whose first boot runs a command with a kubeadm configuration.
fn order(name: &str, role: MachineRole, config: &str, command: &str) -> CreateMachine {
    let user_data = json!({
        "write_files": [{"path": "/run/kubeadm.yaml", "content": config, "permissions": "0600"}],
        "runcmd": [command],
    });
    CreateMachine {
        operation_id: format!("create-{name}"),
        name: name.to_owned(),
        user_data: STANDARD.encode(format!("#cloud-config\n{user_data}")),
        role,
        ..CreateMachine::default()
    }
}

/// The cluster of a story.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) datacenter: Datacenter,
    pub(crate) api: Api,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::running(Programs::new())
    }

    /// A world whose pods run these programs.
    pub(crate) fn running(programs: Programs) -> Self {
        Self::paced(programs, Durations::default())
    }

    /// The same in which things take so long.
    pub(crate) fn paced(programs: Programs, durations: Durations) -> Self {
        let server = Server::new(Clock::fixed(), 7);
        let programs = programs.with(Recorder);
        let datacenter = Datacenter::embedded(&server, programs, durations, 7);
        let api = Api::new(server.client("story"));
        Self { server, datacenter, api }
    }

    /// A world with one control plane.
    pub(crate) async fn with_control_plane() -> Self {
        Self::new().initialised().await
    }

    /// Brings the first control plane up.
    pub(crate) async fn initialised(self) -> Self {
        let world = self;
        let config = json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration",
            "controlPlaneEndpoint": "api.story:6443",
            "networking": {"podSubnet": "192.168.0.0/16"},
        });
        world.create(
            "cp1",
            MachineRole::ControlPlane,
            &config.to_string(),
            "kubeadm init --config /run/kubeadm.yaml",
        );
        world.node("cp1").await;
        world.until("cp1's init", || async { world.console("cp1").contains("Cloud-init finished") }).await;
        assert!(world.console("cp1").contains("initialized successfully"), "{}", world.console("cp1"));
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
            "stringData": {
                "token-id": "abcdef", "token-secret": "0123456789abcdef",
                "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
                "expiration": "2030-01-01T00:00:00Z",
            },
        });
        let secret = stored(secret);
        world.api.create(&core("kube-system", "secrets", ""), &secret).await.unwrap();
        world
    }

    /// Begins a machine whose first boot runs a command with a kubeadm configuration.
    pub(crate) fn create(&self, name: &str, role: MachineRole, config: &str, command: &str) -> MachineView {
        self.datacenter.create(&order(name, role, config, command), "story").unwrap()
    }

    /// Begins a machine that joins.
    pub(crate) async fn join(&self, name: &str, role: MachineRole) -> MachineView {
        self.datacenter.create(&self.joining(name, role).await, "story").unwrap()
    }

    /// What is ordered for a machine that joins.
    pub(crate) async fn joining(&self, name: &str, role: MachineRole) -> CreateMachine {
        let map = self.api.get(&core("kube-public", "configmaps", "cluster-info")).await.unwrap();
        let config: Value = serde_saphyr::from_str(text(&map, "/data/kubeconfig")).unwrap();
        let data = text(&config, "/clusters/0/cluster/certificate-authority-data").to_owned();
        let pem = String::from_utf8(STANDARD.decode(data).unwrap()).unwrap();
        let pin = crate::machines::kubeadm::pin(&pem).unwrap();
        let mut join = json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration",
            "discovery": {"bootstrapToken": {
                "token": TOKEN, "apiServerEndpoint": "api.story:6443", "caCertHashes": [pin],
            }},
            "nodeRegistration": {
                "kubeletExtraArgs": [{"name": "provider-id", "value": format!("simulator:///{name}")}],
                "taints": [{"key": "replank.dev/new", "effect": "NoSchedule"}],
            },
        });
        if role == MachineRole::ControlPlane {
            join["controlPlane"] = json!({"certificateKey": KEY});
        }
        order(name, role, &join.to_string(), "kubeadm join --config /run/kubeadm.yaml")
    }

    pub(crate) fn machine(&self, name: &str) -> MachineView {
        self.datacenter
            .machines()
            .into_iter()
            .find(|machine| machine.name == name)
            .expect("the machine exists")
    }

    pub(crate) fn console(&self, name: &str) -> String {
        self.datacenter.console(&self.machine(name).id).unwrap()
    }

    pub(crate) async fn run(&self, name: &str, line: &str) -> (i32, String) {
        let argv: Vec<String> = ["sh", "-c", line].map(str::to_owned).to_vec();
        let id = self.machine(name).id;
        let output = self.datacenter.run(&id, &argv, b"", Caller::default()).await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8(text).unwrap())
    }

    pub(crate) fn write(&self, name: &str, path: &str, content: &str) {
        let id = self.machine(name).id;
        self.datacenter.write_file(&id, path, Some((content.as_bytes(), 0o644)), Caller::default()).unwrap();
    }

    /// A flat network on a host: every pod gets an address of this range.
    pub(crate) fn bridge(&self, name: &str, subnet: &str) {
        self.write(name, BRIDGE, &bridge(subnet));
    }

    /// A fact that a program published on its host.
    pub(crate) fn published(&self, name: &str, fact: &str) -> Option<String> {
        let id = self.machine(name).id;
        self.datacenter.host(&id).unwrap().published(fact)
    }

    /// Gives an account a cluster role of its own name.
    pub(crate) async fn grant(&self, account: &str, namespace: &str, rules: Value) {
        let rbac = "rbac.authorization.k8s.io";
        let role = json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRole", "metadata": {"name": account}, "rules": rules,
        });
        self.api.create(&format!("/apis/{rbac}/v1/clusterroles"), &role).await.unwrap();
        let binding = json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": account},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        });
        self.api.create(&format!("/apis/{rbac}/v1/clusterrolebindings"), &binding).await.unwrap();
    }

    pub(crate) async fn until<F>(&self, what: &str, holds: impl Fn() -> F)
    where
        F: Future<Output = bool>,
    {
        for _ in 0..1200 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let consoles: BTreeMap<String, String> =
            self.datacenter.machines().into_iter().map(|m| (m.name.clone(), self.console(&m.name))).collect();
        panic!("waited in vain for {what}: {consoles:#?}");
    }

    pub(crate) async fn node(&self, name: &str) -> Value {
        let path = core("", "nodes", name);
        self.until(&format!("Node {name}"), || async {
            self.api.find(&path).await.unwrap_or_default().is_some()
        })
        .await;
        self.api.get(&path).await.unwrap()
    }

    pub(crate) async fn pod(&self, namespace: &str, name: &str) -> Option<Value> {
        self.api.find(&core(namespace, "pods", name)).await.unwrap()
    }

    /// Creates a pod that is bound to a node already.
    pub(crate) async fn start_pod(&self, name: &str, node: &str, change: Value) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "example/web:1"}]},
        });
        json_patch::merge(&mut pod, &change);
        self.api.create(&core("default", "pods", ""), &pod).await.unwrap();
    }

    pub(crate) async fn ready(&self, name: &str) {
        self.until(&format!("pod {name}"), || async {
            self.pod("default", name).await.is_some_and(|pod| condition(&pod, "Ready") == "True")
        })
        .await;
    }

    pub(crate) async fn events(&self, reason: &str) -> Vec<String> {
        let (events, _) = self.api.list("/api/v1/events").await.unwrap();
        let ours = events.iter().filter(|event| event["reason"] == reason);
        ours.map(|event| text(event, "/message").to_owned()).collect()
    }
}

/// `stringData` turned into `data`, as the API server does on a write.
fn stored(mut secret: Value) -> Value {
    let plain = secret["stringData"].take();
    let data: serde_json::Map<String, Value> = plain
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), json!(STANDARD.encode(value.as_str().unwrap_or_default()))))
        .collect();
    secret["data"] = Value::Object(data);
    secret.as_object_mut().expect("a Secret is an object").remove("stringData");
    secret
}

pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["status"].as_str()).unwrap_or("absent")
}
