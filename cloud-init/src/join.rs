//! A machine that joins a cluster with kubeadm.

use crate::config::{CloudConfig, WriteFile};
use crate::secret::Secret;
use serde_json::{Value, json};

/// Where the join configuration lies until it has been used: in memory, not on a disk.
pub const JOIN_FILE: &str = "/run/replank/join.yaml";

/// Where static pods lie until the join is done.
const STATIC_PODS: &str = "/run/replank/static-pods";

/// The first minor release whose kubeadm reads `v1beta4`.
const FIRST_WITH_V1BETA4: u32 = 31;

/// How long kubeadm waits for the cluster's answer before the first boot counts as failed. Longer than
/// its own five minutes, because a load balancer may take its time to see a new back end.
const DISCOVERY_TIMEOUT: &str = "10m0s";

/// A node that joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The Node's name, which is the machine's host name too.
    pub node_name: String,
    /// Where the API server is reached: `host:port`.
    pub endpoint: String,
    /// The bootstrap token, `id.secret`.
    pub token: Secret,
    /// Digests of the CA's public key, `sha256:…`.
    pub ca_cert_hashes: Vec<String>,
    /// Taints that the Node registers with.
    pub taints: Vec<JoinTaint>,
    /// What makes it a control plane.
    pub control_plane: Option<ControlPlane>,
    /// The cluster's Kubernetes version, such as `v1.34.4`: decides kubeadm's configuration format.
    pub kubernetes_version: String,
    /// Further files that must lie there before the join.
    pub files: Vec<WriteFile>,
    /// Static pods of the user's own. They are put in place after the join: kubeadm wants to find the
    /// directory empty.
    pub static_pods: Vec<WriteFile>,
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinTaint {
    /// Its key.
    pub key: String,
    /// Its value; often empty.
    pub value: String,
    /// Its effect.
    pub effect: String,
}

/// What makes a joining node a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlane {
    /// The key of the uploaded certificates.
    pub certificate_key: Secret,
    /// Taints that kubeadm shall put on it at the join's end: those that stay. (What the kubelet registers
    /// with goes only once; kubeadm would put it back after it was taken off.)
    pub taints: Vec<JoinTaint>,
}

impl Join {
    /// The user-data of this node's machine.
    pub fn cloud_config(&self) -> CloudConfig {
        let mut write_files = self.files.clone();
        write_files.push(WriteFile::text(JOIN_FILE, format!("{:#}\n", self.configuration()), 0o600));
        let mut runcmd = vec![
            ["kubeadm", "join", "--config", JOIN_FILE].map(str::to_owned).to_vec(),
            ["rm", "-f", JOIN_FILE].map(str::to_owned).to_vec(),
        ];
        for (at, pod) in self.static_pods.iter().enumerate() {
            let aside = format!("{STATIC_PODS}/{at}");
            runcmd.push(vec!["cp".into(), aside.clone(), pod.path.clone()]);
            write_files.push(WriteFile { path: aside, ..pod.clone() });
        }
        CloudConfig { hostname: Some(self.node_name.clone()), write_files, runcmd }
    }

    /// kubeadm's `JoinConfiguration`.
    fn configuration(&self) -> Value {
        let newest = minor(&self.kubernetes_version).is_none_or(|minor| minor >= FIRST_WITH_V1BETA4);
        let taints: Vec<Value> =
            self.taints.iter().map(|t| json!({"key": t.key, "value": t.value, "effect": t.effect})).collect();
        let mut registration = json!({"name": self.node_name, "taints": taints});
        let mut document = json!({
            "apiVersion": if newest { "kubeadm.k8s.io/v1beta4" } else { "kubeadm.k8s.io/v1beta3" },
            "kind": "JoinConfiguration",
            "discovery": {"bootstrapToken": {
                "token": self.token.expose(),
                "apiServerEndpoint": self.endpoint,
                "caCertHashes": self.ca_cert_hashes,
            }},
        });
        if newest {
            document["timeouts"] = json!({"discovery": DISCOVERY_TIMEOUT});
        } else {
            document["discovery"]["timeout"] = json!(DISCOVERY_TIMEOUT);
        }
        if let Some(control_plane) = &self.control_plane {
            document["controlPlane"] = json!({"certificateKey": control_plane.certificate_key.expose()});
            // kubeadm taints a control plane only after its kubelet has registered; the flag leaves no
            // moment in which pods could land.
            registration["kubeletExtraArgs"] = self.taint_flag(newest);
        }
        document["nodeRegistration"] = registration;
        document
    }

    fn taint_flag(&self, newest: bool) -> Value {
        let stays = self.control_plane.iter().flat_map(|c| &c.taints);
        let line: Vec<String> =
            self.taints.iter().chain(stays).map(|t| format!("{}={}:{}", t.key, t.value, t.effect)).collect();
        if line.is_empty() {
            return json!(null);
        }
        if newest {
            json!([{"name": "register-with-taints", "value": line.join(",")}])
        } else {
            json!({"register-with-taints": line.join(",")})
        }
    }
}

fn minor(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> Join {
        Join {
            node_name: "worker-1-r1".into(),
            endpoint: "api.example:6443".into(),
            token: Secret::new("abcdef.0123456789abcdef"),
            ca_cert_hashes: vec!["sha256:00".into()],
            taints: vec![JoinTaint {
                key: "replank.dev/unadmitted".into(),
                value: String::new(),
                effect: "NoSchedule".into(),
            }],
            control_plane: None,
            kubernetes_version: "v1.34.4".into(),
            files: Vec::new(),
            static_pods: Vec::new(),
        }
    }

    #[test]
    fn a_worker_is_told_to_join() {
        insta::assert_snapshot!(worker().cloud_config().render());
    }

    #[test]
    fn a_control_plane_brings_its_files_and_its_key() {
        let join = Join {
            control_plane: Some(ControlPlane {
                certificate_key: Secret::new("00ff"),
                taints: vec![JoinTaint {
                    key: "node-role.kubernetes.io/control-plane".into(),
                    value: String::new(),
                    effect: "NoSchedule".into(),
                }],
            }),
            files: vec![
                WriteFile::text("/etc/kubernetes/audit.yaml", "kind: Policy\n", 0o600),
                WriteFile { path: "/etc/kubernetes/blob".into(), content: vec![0xff, 0], mode: 0o644 },
            ],
            ..worker()
        };
        insta::assert_snapshot!(join.cloud_config().render());
    }

    #[test]
    fn an_older_cluster_gets_the_older_format() {
        let join = Join { kubernetes_version: "v1.30.2".into(), ..worker() };
        let text = join.cloud_config().render();
        assert!(text.contains("kubeadm.k8s.io/v1beta3"), "{text}");
        assert!(!text.contains("timeouts"), "{text}");
    }

    #[test]
    fn nothing_prints_a_secret() {
        let join = worker();
        let shown = format!("{join:?} {:?}", join.cloud_config());
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
    }
}
