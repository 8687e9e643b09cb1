//! The Node object: registered once per process, then only its status is the kubelet's.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::KubeletConfig;
use super::events::Events;
use crate::machines::api::{Api, ApiFailure, Patch, text};
use crate::machines::cni;
use crate::machines::machine::Machine;

/// The version that the kubelets report.
pub(crate) const VERSION: &str = "v1.34.4";

const NO_NETWORK: &str = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
    message:Network plugin returns error: cni plugin not initialized";

/// One life of a kubelet's process.
pub(super) struct Session {
    pub(super) machine: Arc<Machine>,
    pub(super) config: KubeletConfig,
    pub(super) node: String,
    pub(super) api: Api,
    pub(super) stop: CancellationToken,
    pub(super) registered: bool,
    pub(super) events: Events,
    /// What the kubelet believes of the network, which lags behind the files.
    pub(super) network_ready: bool,
    network_seen: Option<(bool, Instant)>,
    /// Since when the Ready condition has its value.
    ready_since: String,
    started: String,
    pub(super) volumes_in_use: std::collections::BTreeSet<String>,
    error: String,
}

impl Session {
    pub(super) fn new(machine: Arc<Machine>, config: KubeletConfig, stop: CancellationToken) -> Self {
        let client = machine.site.access.client(&format!("kubelet/{VERSION} (linux/amd64) {}", config.node));
        let client = if config.local_api { machine.local_api.guard(client) } else { client };
        let now = machine.site.clock.now_rfc3339();
        Self {
            node: config.node.clone(),
            api: Api::new(client),

            config,
            stop,
            registered: false,
            events: Events::default(),
            network_ready: cni::active(machine.host.files()).is_some(),
            network_seen: None,
            ready_since: now.clone(),
            started: now,
            volumes_in_use: std::collections::BTreeSet::new(),
            error: String::new(),
            machine,
        }
    }

    /// Notes an error on the console, once per text.
    pub(super) fn last_error(&mut self, failure: &ApiFailure) {
        let text = failure.to_string();
        if text != self.error {
            self.machine.print(&format!("kubelet: {text}"));
            self.error = text;
        }
    }

    fn path(&self) -> String {
        format!("/api/v1/nodes/{}", self.node)
    }

    /// Makes the Node, or takes over the one that is there without touching its spec.
    pub(super) async fn register(&mut self) -> Result<(), ApiFailure> {
        let wanted = self.initial_node();
        match self.api.create("/api/v1/nodes", &wanted).await {
            Ok(_) => {}
            Err(failure) if failure.is_conflict() => {
                let patch = json!({"metadata": {"labels": self.default_labels()}});
                self.api.patch(&self.path(), Patch::Merge, &patch).await?;
                let patch = json!({"status": self.status()});
                self.api.patch(&format!("{}/status", self.path()), Patch::Strategic, &patch).await?;
            }
            Err(failure) => return Err(failure),
        }
        self.ask_for_serving_certificate().await?;
        self.registered = true;
        self.machine.set_node_name(&self.node);
        Ok(())
    }

    /// With `serverTLSBootstrap` each process asks for a certificate that someone must approve.
    async fn ask_for_serving_certificate(&self) -> Result<(), ApiFailure> {
        if !self.config.server_tls_bootstrap {
            return Ok(());
        }
        let started = self.machine.site.clock.micro_now();
        let name = self.machine.site.hex_id(&format!("csr/{}/{started}", self.node));
        let request = json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": format!("csr-{}", &name[..5])},
            "spec": {
                "request": STANDARD.encode(format!("serving certificate of {}", self.node)),
                "signerName": "kubernetes.io/kubelet-serving",
                "usages": ["digital signature", "server auth"],
                "username": format!("system:node:{}", self.node),
                "groups": ["system:nodes", "system:authenticated"],
            },
        });
        self.api.ensure("/apis/certificates.k8s.io/v1/certificatesigningrequests", &request).await
    }

    /// Writes the Node's status. A Node that was deleted stays deleted until the next process.
    pub(super) async fn report(&mut self) -> Result<(), ApiFailure> {
        if !self.registered {
            return Ok(());
        }
        let patch = json!({"status": self.status()});
        match self.api.patch(&format!("{}/status", self.path()), Patch::Strategic, &patch).await {
            Err(failure) if failure.is_not_found() => {
                self.last_error(&failure);
                Ok(())
            }
            other => other,
        }
    }

    /// Compares the belief in the network with the files; a time to look again, if they differ.
    pub(super) async fn look_at_network(&mut self) -> Option<Instant> {
        let durations = self.machine.site.durations.clone();
        let there = cni::active(self.machine.host.files()).is_some();
        let now = Instant::now();
        if there == self.network_ready {
            self.network_seen = None;
            return None;
        }
        let since = match self.network_seen {
            Some((seen, since)) if seen == there => since,
            _ => {
                self.network_seen = Some((there, now));
                now
            }
        };
        let due = since + if there { durations.network_return } else { durations.network_loss };
        if due > now {
            return Some(due);
        }
        self.network_ready = there;
        self.network_seen = None;
        self.ready_since = self.machine.site.clock.now_rfc3339();
        if let Err(failure) = self.report().await {
            self.last_error(&failure);
        }
        None
    }

    fn default_labels(&self) -> Value {
        json!({
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": self.machine.host.identity().hostname,
            "kubernetes.io/os": "linux",
        })
    }

    fn initial_node(&self) -> Value {
        let mut labels = self.default_labels();
        for (key, value) in &self.config.labels {
            labels[key] = json!(value);
        }
        let mut taints = self.config.taints.clone();
        if self.config.external_cloud {
            let key = "node.cloudprovider.kubernetes.io/uninitialized";
            taints.push(json!({"key": key, "value": "true", "effect": "NoSchedule"}));
        }
        let mut spec = json!({});
        if !taints.is_empty() {
            spec["taints"] = json!(taints);
        }
        if !self.config.provider_id.is_empty() {
            spec["providerID"] = json!(self.config.provider_id);
        }
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.node,
                "labels": labels,
                "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            },
            "spec": spec,
            "status": self.status(),
        })
    }

    fn status(&self) -> Value {
        let identity = self.machine.host.identity();
        let mut addresses: Vec<Value> = identity
            .addresses
            .iter()
            .map(|address| json!({"type": "InternalIP", "address": address.to_string()}))
            .collect();
        addresses.push(json!({"type": "Hostname", "address": identity.hostname}));
        let room = |cpu: &str, memory: &str| {
            json!({
                "cpu": cpu, "memory": memory, "ephemeral-storage": "101341600Ki",
                "hugepages-1Gi": "0", "hugepages-2Mi": "0", "pods": self.config.max_pods.to_string(),
            })
        };
        json!({
            "addresses": addresses,
            "allocatable": room("8", "32656560Ki"),
            "capacity": room("8", "32758960Ki"),
            "conditions": self.conditions(),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": self.machine.boot_id(),
                "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": "6.12.0",
                "kubeProxyVersion": "",
                "kubeletVersion": VERSION,
                "machineID": identity.machine_id,
                "operatingSystem": "linux",
                "osImage": "Simulated Linux 1",
                "systemUUID": identity.system_uuid,
            },
            "volumesInUse": self.volumes_in_use.iter().collect::<Vec<_>>(),
        })
    }

    fn conditions(&self) -> Vec<Value> {
        let now = self.machine.site.clock.now_rfc3339();
        let condition = |kind: &str, status: &str, reason: &str, message: &str, since: &str| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": now, "lastTransitionTime": since,
            })
        };
        let started = &self.started;
        let (status, reason, message) = match self.network_ready {
            true => ("True", "KubeletReady", "kubelet is posting ready status"),
            false => ("False", "KubeletNotReady", NO_NETWORK),
        };
        vec![
            condition(
                "MemoryPressure",
                "False",
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available",
                started,
            ),
            condition(
                "DiskPressure",
                "False",
                "KubeletHasNoDiskPressure",
                "kubelet has no disk pressure",
                started,
            ),
            condition(
                "PIDPressure",
                "False",
                "KubeletHasSufficientPID",
                "kubelet has sufficient PID available",
                started,
            ),
            condition("Ready", status, reason, message, &self.ready_since),
        ]
    }

    /// Whether the pod's host part of the status is known, as for every pod of this node.
    pub(super) fn host_addresses(&self) -> Vec<String> {
        self.machine.host.identity().addresses.iter().map(ToString::to_string).collect()
    }

    /// Tells of something that happened to a pod.
    pub(super) async fn tell(&mut self, pod: &Value, kind: &str, reason: &str, message: &str) {
        let clock = self.machine.site.clock;
        self.events.tell(&self.api, &clock, &self.node, pod, kind, reason, message).await;
    }

    /// The uid of the Node, for owner references.
    pub(super) async fn node_uid(&self) -> Result<String, ApiFailure> {
        Ok(text(&self.api.get(&self.path()).await?, "/metadata/uid").to_owned())
    }
}
