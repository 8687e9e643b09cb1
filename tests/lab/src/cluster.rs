//! A kubeadm cluster on a lab's machines.

use crate::build::programs::KUBERNETES;
use crate::build::report::Progress;
use crate::error::{LabError, Result};
use crate::lab::Lab;
use crate::machine::life::wait;
use crate::machine::network::GATEWAY;
use crate::machine::{Record, Role, Wanted};
use crate::run::succeed;
use crate::supervisor::about;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long a machine may take from nothing to its part in the cluster, on a busy machine of 2 cores.
const JOIN: Duration = Duration::from_secs(300);
/// How long everything may take to be ready after the last join.
const READY: Duration = Duration::from_secs(300);

/// What kind of pod network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cni {
    /// The stand-in for Calico.
    Calico(Install),
    /// The real Flannel.
    Flannel,
}

/// How Calico was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Install {
    /// From one manifest.
    Manifest,
    /// By its operator.
    Operator,
}

/// What a cluster shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many control planes; at least one.
    pub control_planes: usize,
    /// How many workers.
    pub workers: usize,
    /// Its pod network.
    pub cni: Cni,
}

/// A cluster that runs in a lab.
#[derive(Clone, Debug)]
pub struct Cluster {
    lab: Lab,
    kubeconfig: PathBuf,
}

impl Cni {
    /// Where pods get their addresses.
    fn pods(self) -> &'static str {
        match self {
            Self::Calico(_) => "192.168.0.0/16",
            Self::Flannel => "10.244.0.0/16",
        }
    }

    /// What is applied to install it, one after the other: kinds are there before objects of them.
    fn manifests(self) -> Vec<&'static str> {
        let kinds = include_str!("../manifests/calico-kinds.yaml");
        match self {
            Self::Calico(Install::Manifest) => vec![kinds, include_str!("../manifests/calico.yaml")],
            Self::Calico(Install::Operator) => vec![
                kinds,
                include_str!("../manifests/operator-kinds.yaml"),
                include_str!("../manifests/operator.yaml"),
            ],
            Self::Flannel => vec![include_str!("../manifests/flannel.yaml")],
        }
    }
}

/// What only the machines of the first hour know.
struct Secrets {
    token: String,
    certificate_key: String,
}

impl Secrets {
    fn new() -> Result<Self> {
        let mut digits = String::new();
        for _ in 0..3 {
            let path = std::path::Path::new("/proc/sys/kernel/random/uuid");
            let uuid = std::fs::read_to_string(path).map_err(LabError::file(path))?;
            digits.extend(uuid.chars().filter(char::is_ascii_hexdigit));
        }
        Ok(Self {
            token: format!("{}.{}", &digits[..6], &digits[6..22]),
            certificate_key: digits[32..96].to_owned(),
        })
    }
}

impl Cluster {
    /// Makes machines and a cluster of them; answers when every node and every pod is ready.
    ///
    /// # Errors
    /// When a machine does not join, or something does not get ready.
    pub fn make(lab: Lab, shape: Shape, progress: &mut Progress<'_>) -> Result<Self> {
        Self::make_with(lab, shape, &shape.cni.manifests(), progress)
    }

    /// The same, with manifests of the pod network that are not the lab's own: applied one after the other.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub fn make_with(
        lab: Lab,
        shape: Shape,
        manifests: &[&str],
        progress: &mut Progress<'_>,
    ) -> Result<Self> {
        let secrets = Secrets::new()?;
        progress.say("booting the machines");
        let first = lab.create(&machine("cp1", Role::ControlPlane, &init(shape, &secrets)))?;
        lab.register(&first.name)?;
        let workers: Vec<String> = (1..=shape.workers).map(|n| format!("w{n}")).collect();
        for name in &workers {
            lab.create(&machine(name, Role::Worker, &join(name, &secrets, Role::Worker)))?;
        }
        progress.say("waiting for the first control plane");
        booted(&lab, &first)?;
        let cluster = Self::open(lab)?;
        cluster.install(manifests)?;
        for n in 2..=shape.control_planes {
            let name = format!("cp{n}");
            progress.say(&format!("waiting for {name}"));
            let record = cluster.lab.create(&machine(
                &name,
                Role::ControlPlane,
                &join(&name, &secrets, Role::ControlPlane),
            ))?;
            booted(&cluster.lab, &record)?;
            cluster.lab.register(&name)?;
        }
        progress.say("waiting for the workers");
        for name in &workers {
            booted(&cluster.lab, &cluster.lab.machine(name)?)?;
        }
        progress.say("waiting for every node and pod");
        cluster.settled(shape.control_planes + shape.workers)?;
        Ok(cluster)
    }

    fn install(&self, manifests: &[&str]) -> Result<()> {
        for manifest in manifests {
            self.kubectl(&["apply", "--server-side", "-f", "-"], Some(manifest))?;
            if manifest.contains("kind: CustomResourceDefinition") {
                let served = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
                self.kubectl(&served, None)?;
            }
        }
        Ok(())
    }

    /// The cluster of a lab that is up.
    ///
    /// # Errors
    /// When it has none yet.
    pub fn open(lab: Lab) -> Result<Self> {
        let kubeconfig = lab.place().join("admin.conf");
        if !kubeconfig.exists() {
            let planes = lab.machines()?.into_iter().filter(|m| m.role == Role::ControlPlane);
            let text = planes
                .filter_map(|m| lab.host_read(&m.name, "/etc/kubernetes/admin.conf").ok().flatten())
                .find_map(|file| String::from_utf8(file.content).ok())
                .ok_or_else(|| LabError::NoMachine("with an admin.conf".into()))?;
            // The same load balancer, where the outer world reaches it.
            let outer = format!("https://127.0.0.1:{}", about(lab.place())?.port);
            let text = text.replace(&format!("https://{GATEWAY}:6443"), &outer);
            std::fs::write(&kubeconfig, text).map_err(LabError::file(&kubeconfig))?;
        }
        Ok(Self { lab, kubeconfig })
    }

    /// Its lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// An administrator's kubeconfig for this machine's loopback.
    pub fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    /// Runs kubectl, which must succeed; answers what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn kubectl(&self, words: &[&str], input: Option<&str>) -> Result<String> {
        let what = format!("kubectl {}", words.join(" "));
        let mut kubectl = Command::new(self.lab.bin().join("kubectl"));
        kubectl.arg("--kubeconfig").arg(&self.kubeconfig).args(words);
        let Some(input) = input else { return succeed(&what, &mut kubectl) };
        // A file, not a pipe: nobody has to feed it meanwhile.
        let path = self.lab.place().join("run/kubectl-input");
        std::fs::write(&path, input).map_err(LabError::file(&path))?;
        let file = std::fs::File::open(&path).map_err(LabError::file(&path))?;
        let started = |source| LabError::Start { program: "kubectl".into(), source };
        let output = kubectl.stdin(file).output().map_err(started)?;
        crate::run::checked(&what, &output)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Objects as the API server has them.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn list(&self, resource: &str) -> Result<Vec<Value>> {
        let text = self.kubectl(&["get", resource, "--all-namespaces", "--output", "json"], None)?;
        let content = |e: serde_json::Error| LabError::Content { path: resource.into(), why: e.to_string() };
        let list: Value = serde_json::from_str(&text).map_err(content)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until as many nodes and all pods are ready.
    ///
    /// # Errors
    /// When they are not in time.
    pub fn settled(&self, nodes: usize) -> Result<()> {
        wait(READY, "the readiness of every node and pod", || {
            std::thread::sleep(POLL);
            self.unsettled(nodes).unwrap_or_else(|error| Some(error.to_string()))
        })
    }

    fn unsettled(&self, wanted: usize) -> Result<Option<String>> {
        let nodes = self.list("nodes")?;
        if nodes.len() != wanted {
            return Ok(Some(format!("there are {} nodes of {wanted}", nodes.len())));
        }
        let pods = self.list("pods")?;
        let late = nodes.iter().chain(&pods).find(|object| !ready(object));
        Ok(late.map(|object| format!("{} {} is not ready", object["kind"], object["metadata"]["name"])))
    }
}

/// Between two looks at the API with kubectl.
const POLL: Duration = Duration::from_secs(1);

fn ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let is_true = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
    object["status"]["phase"] == "Succeeded" || conditions.is_some_and(|c| c.iter().any(is_true))
}

fn machine(name: &str, role: Role, user_data: &str) -> Wanted {
    Wanted { name: name.into(), role, user_data: user_data.into(), labels: BTreeMap::new() }
}

/// Waits until a machine's first boot is over, and well.
fn booted(lab: &Lab, record: &Record) -> Result<()> {
    let name = &record.name;
    let finished = lab.place().machine(name).join("root/var/lib/cloud/instance/boot-finished");
    wait(JOIN, &format!("the first boot of {name}"), || {
        (!finished.exists()).then(|| {
            let console = lab.console(name).unwrap_or_default();
            console.lines().last().unwrap_or("nothing on its console").to_owned()
        })
    })?;
    let console = lab.console(name)?;
    if console.contains("it ended with") || console.contains("the first boot failed") {
        let said = console.lines().rev().take(30).collect::<Vec<_>>();
        let said = said.into_iter().rev().collect::<Vec<_>>().join("\n");
        return Err(LabError::Failed { what: format!("the first boot of {name}"), status: 1, said });
    }
    Ok(())
}

const CONFIGURATION: &str = "/run/replank-lab/kubeadm.yaml";

fn user_data(name: &str, kubeadm: &[&str], documents: &[Value]) -> String {
    let kubeadm = [&["kubeadm"], kubeadm, &["--config", CONFIGURATION]].concat();
    let content: Vec<String> = documents.iter().map(Value::to_string).collect();
    let config = json!({
        "hostname": name,
        "write_files": [{"path": CONFIGURATION, "permissions": "0600", "content": content.join("\n---\n")}],
        "runcmd": [kubeadm, ["rm", "-f", CONFIGURATION]],
    });
    format!("#cloud-config\n{config:#}\n")
}

const KUBEADM: &str = "kubeadm.k8s.io/v1beta4";

fn init(shape: Shape, secrets: &Secrets) -> String {
    let init = json!({
        "apiVersion": KUBEADM, "kind": "InitConfiguration",
        "nodeRegistration": {"name": "cp1"},
        "bootstrapTokens": [{"token": secrets.token, "ttl": "1h0m0s"}],
        "certificateKey": secrets.certificate_key,
    });
    let cluster = json!({
        "apiVersion": KUBEADM, "kind": "ClusterConfiguration",
        "kubernetesVersion": KUBERNETES,
        "controlPlaneEndpoint": format!("{GATEWAY}:6443"),
        "networking": {"podSubnet": shape.cni.pods(), "serviceSubnet": "10.96.0.0/16"},
        "apiServer": {"certSANs": ["127.0.0.1", GATEWAY.to_string()]},
        // The disk of a machine that ends with the test needs no flush.
        "etcd": {"local": {"extraArgs": [{"name": "unsafe-no-fsync", "value": "true"}]}},
    });
    let kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "failSwapOn": false,
        // The outer machine's disk and memory are shared: no node may evict for what others use.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
    });
    let proxy = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": shape.cni.pods(),
        // What a network namespace can't set.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    });
    user_data("cp1", &["init", "--upload-certs"], &[init, cluster, kubelet, proxy])
}

fn join(name: &str, secrets: &Secrets, role: Role) -> String {
    let mut join = json!({
        "apiVersion": KUBEADM, "kind": "JoinConfiguration",
        "nodeRegistration": {"name": name},
        // The lab's own network has no stranger in it.
        "discovery": {"bootstrapToken": {
            "token": secrets.token, "apiServerEndpoint": format!("{GATEWAY}:6443"), "unsafeSkipCAVerification": true,
        }},
        "timeouts": {"discovery": "10m0s"},
    });
    if role == Role::ControlPlane {
        join["controlPlane"] = json!({"certificateKey": secrets.certificate_key});
    }
    user_data(name, &["join"], &[join])
}
