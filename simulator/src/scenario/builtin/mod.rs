//! Calico installs of this project's own: what upstream's manifests hold, in meaning, in few words.
//! They run the same agents by the same images, so that everything that is known of the real ones
//! by group, owner, reference and image is true of them too.
//!
//! - [`definitions`]: the kinds, of either group.
//! - [`access`]: accounts, roles and bindings.
//! - [`agents`]: the DaemonSet and kube-controllers; [`typha`] beside them.
//! - [`canal`]: Flannel's network with Calico's policies.
//! - [`webhooks`]: what comes along where `projectcalico.org/v3` is served by definitions.
//! - [`operated`]: the operator and its resources.

mod access;
mod agents;
mod canal;
mod definitions;
mod operated;
mod typha;
mod webhooks;

pub use canal::NETWORK as CANAL_NETWORK;
pub use webhooks::evaluator as policy_evaluator;

use crate::families::Families;
use serde_json::{Value, json};

/// The version that images name where nobody asks for another.
pub const VERSION: &str = "v3.30.3";

/// A Calico to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calico {
    /// What kind of install it is.
    pub shape: Shape,
    /// The version that its images name.
    pub version: String,
    /// Whether its pods get IPv6 addresses too.
    pub families: Families,
}

/// Which kind of install.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// A manifest with the Kubernetes datastore.
    Manifest,
    /// The same with Typha between the API server and the agents.
    Typha,
    /// The same with the eBPF datapath, and kube-proxy switched off.
    Ebpf,
    /// A manifest whose datastore is the cluster's own etcd.
    Etcd,
    /// Canal: Flannel's network with Calico's policies.
    Canal,
    /// A manifest that serves `projectcalico.org/v3` by definitions.
    Definitions,
    /// The Tigera operator with API server, Goldmane and Whisker.
    Operator,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Manifest, Self::Typha, Self::Ebpf, Self::Etcd, Self::Canal, Self::Definitions, Self::Operator];

    /// The group and version of its records, as the agents write them.
    fn records(self) -> &'static str {
        match self {
            Self::Definitions => "projectcalico.org/v3",
            _ => "crd.projectcalico.org/v1",
        }
    }
}

impl Default for Calico {
    fn default() -> Self {
        Self::of(Shape::Manifest)
    }
}

impl Calico {
    /// An install of this kind, at a version that has it.
    pub fn of(shape: Shape) -> Self {
        let version = match shape {
            Shape::Definitions => "v3.32.1",
            _ => VERSION,
        };
        Self { shape, version: version.to_owned(), families: Families::V4 }
    }

    /// The minor version, which decides which kinds and accounts there are.
    fn minor(&self) -> u32 {
        self.version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(30)
    }

    /// Whether the CNI plugin has an account of its own (3.26 and later).
    fn own_plugin_account(&self) -> bool {
        self.minor() >= 26
    }

    /// Whether policies have tiers (3.29 and later).
    fn has_tiers(&self) -> bool {
        self.minor() >= 29
    }

    /// Whether the controller-manager may read tiers (3.30 and later).
    fn shows_tiers(&self) -> bool {
        self.minor() >= 30
    }

    fn image(&self, name: &str) -> String {
        format!("quay.io/calico/{name}:{}", self.version)
    }

    /// All objects, in no particular order. `etcd` is where the cluster's etcd is reached.
    pub fn objects(&self, etcd: &str) -> Vec<Value> {
        match self.shape {
            Shape::Operator => operated::objects(self),
            Shape::Canal => canal::objects(self),
            Shape::Manifest | Shape::Typha | Shape::Ebpf | Shape::Etcd | Shape::Definitions => {
                self.manifest(etcd)
            }
        }
    }

    fn manifest(&self, etcd: &str) -> Vec<Value> {
        let mut objects = access::objects(self);
        objects.push(self.configuration(etcd));
        objects.push(agents::node(self));
        objects.extend(agents::controllers(self));
        match self.shape {
            Shape::Etcd => objects.push(json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": {"name": "calico-etcd-secrets", "namespace": "kube-system"},
                "stringData": {"etcd-ca": "an authority", "etcd-cert": "a certificate", "etcd-key": "its key"},
            })),
            shape => objects.extend(definitions::objects(shape.records(), self.has_tiers())),
        }
        match self.shape {
            Shape::Typha => objects.extend(typha::objects(self)),
            Shape::Definitions => objects.extend(webhooks::objects(self)),
            Shape::Ebpf => objects.extend([
                json!({
                    "apiVersion": "crd.projectcalico.org/v1", "kind": "FelixConfiguration",
                    "metadata": {"name": "default"},
                    "spec": {"bpfEnabled": true, "bpfExternalServiceMode": "Tunnel", "reportingInterval": "0s"},
                }),
                // Without kube-proxy nobody else tells the agents where the API server is.
                json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": "kubernetes-services-endpoint", "namespace": "kube-system"},
                    "data": {"KUBERNETES_SERVICE_HOST": "api.cluster.local", "KUBERNETES_SERVICE_PORT": "6443"},
                }),
            ]),
            Shape::Manifest | Shape::Etcd | Shape::Canal | Shape::Operator => {}
        }
        objects
    }

    fn configuration(&self, etcd: &str) -> Value {
        let mut calico = json!({
            "type": "calico",
            "log_level": "info",
            "nodename": "__KUBERNETES_NODE_NAME__",
            "ipam": self.ipam(),
            "policy": {"type": "k8s"},
            "kubernetes": {"kubeconfig": "__KUBECONFIG_FILEPATH__"},
        });
        let mut data = json!({
            "typha_service_name": if self.shape == Shape::Typha { "calico-typha" } else { "none" },
            "calico_backend": "bird",
            "veth_mtu": "0",
        });
        if self.shape == Shape::Etcd {
            for (key, place) in [
                ("etcd_endpoints", "__ETCD_ENDPOINTS__"),
                ("etcd_key_file", "__ETCD_KEY_FILE__"),
                ("etcd_cert_file", "__ETCD_CERT_FILE__"),
                ("etcd_ca_cert_file", "__ETCD_CA_CERT_FILE__"),
            ] {
                calico[key] = json!(place);
            }
            data["etcd_endpoints"] = json!(etcd);
            for file in ["ca", "cert", "key"] {
                data[format!("etcd_{file}")] = json!(format!("/calico-secrets/etcd-{file}"));
            }
        } else {
            calico["datastore_type"] = json!("kubernetes");
        }
        let network = json!({
            "name": "k8s-pod-network",
            "cniVersion": "0.3.1",
            "plugins": [
                calico,
                {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}},
                {"type": "bandwidth", "capabilities": {"bandwidth": true}},
            ],
        });
        data["cni_network_config"] = json!(format!("{network:#}"));
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "calico-config", "namespace": "kube-system"},
            "data": data,
        })
    }

    fn ipam(&self) -> Value {
        match self.families {
            Families::V4 => json!({"type": "calico-ipam"}),
            families => json!({
                "type": "calico-ipam",
                "assign_ipv4": families.v4().to_string(),
                "assign_ipv6": families.v6().to_string(),
            }),
        }
    }
}
