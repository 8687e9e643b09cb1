//! A machine that joins a cluster with kubeadm.

use crate::config::{CloudConfig, WriteFile};
use crate::secret::Secret;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Where the join configuration lies until it has been used: in memory, not on a disk.
pub const JOIN_FILE: &str = "/run/replank/join.yaml";

/// What the machine lacks, a line an item; empty where it lacks nothing.
pub const LACKS_FILE: &str = "/run/replank/lacks";

/// Kernel modules that must be there at every boot.
const MODULES_FILE: &str = "/etc/modules-load.d/replank.conf";
const MODULES: [&str; 2] = ["overlay", "br_netfilter"];

/// Kernel settings that must hold at every boot.
const SYSCTL_FILE: &str = "/etc/sysctl.d/99-replank.conf";

/// Where containerd's configuration lies.
const CONTAINERD: &str = "/etc/containerd/config.toml";

/// cloud-init's own copies of user-data, which nothing reads any more once `runcmd` runs.
const COPIES: [&str; 4] = [
    "/var/lib/cloud/instance/user-data.txt",
    "/var/lib/cloud/instance/user-data.txt.i",
    "/var/lib/cloud/instance/cloud-config.txt",
    "/run/cloud-init/combined-cloud-config.json",
];

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
    /// The families of the pods' addresses.
    pub families: Families,
    /// What the kubelet is told on its command line.
    pub kubelet: KubeletArguments,
    /// What the cluster's kubelets make cgroups with.
    pub cgroup_driver: CgroupDriver,
    /// What the machine must hold; one that lacks something does not join.
    pub requirements: Vec<Requirement>,
    /// Further files that must lie there before the join.
    pub files: Vec<WriteFile>,
    /// Static pods of the user's own. They are put in place after the join: kubeadm wants to find the
    /// directory empty.
    pub static_pods: Vec<WriteFile>,
}

/// The families of the pods' addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Both,
}

/// What makes cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// systemd does.
    Systemd,
    /// The kubelet and the runtime do.
    Cgroupfs,
}

/// What the kubelet is told on its command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeletArguments {
    /// The address that the Node shall have; an unspecified one (`::`) chooses a family.
    pub node_ip: Option<IpAddr>,
    /// The machine's name at its cloud, where no cloud controller finds it out.
    pub provider_id: Option<String>,
    /// Others, by their names without dashes. Those above and ours go before them.
    pub extra: BTreeMap<String, String>,
}

/// Something that the machine must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// A shell's condition that holds where it is there.
    pub test: String,
    /// The line that tells that it is not.
    pub lacks: String,
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
    /// The user-data of this node's machine: prepare, look, join, and take away what is secret.
    pub fn cloud_config(&self) -> CloudConfig {
        let mut write_files = self.files.clone();
        write_files.push(WriteFile::text(MODULES_FILE, format!("{}\n", MODULES.join("\n")), 0o644));
        write_files.push(WriteFile::text(SYSCTL_FILE, self.sysctls(), 0o644));
        // A host that joins again may have an older one.
        write_files.push(WriteFile::text(LACKS_FILE, "", 0o644));
        write_files.push(WriteFile::text(JOIN_FILE, format!("{:#}\n", self.configuration()), 0o600));
        let shell = |line: String| vec!["sh".to_owned(), "-c".into(), line];
        let mut runcmd = vec![
            // What could not be loaded or set is found by looking for it.
            shell(format!("modprobe -a {} || true", MODULES.join(" "))),
            shell(format!("sysctl -p {SYSCTL_FILE} || true")),
        ];
        if self.cgroup_driver == CgroupDriver::Systemd {
            runcmd.push(shell(format!(
                "grep -q 'SystemdCgroup = false' {CONTAINERD} && sed -i 's/SystemdCgroup = false/SystemdCgroup = true/' \
                 {CONTAINERD} && systemctl restart containerd || true"
            )));
        }
        let look = |r: &Requirement| shell(format!("{} || echo '{}' >>{LACKS_FILE}", r.test, r.lacks));
        runcmd.extend(self.requirements.iter().map(look));
        // To the console, for who can't reach the host.
        runcmd.push(vec!["cat".into(), LACKS_FILE.into()]);
        runcmd.push(shell(format!("test ! -s {LACKS_FILE} && kubeadm join --config {JOIN_FILE}")));
        let mut secret = vec!["rm".to_owned(), "-f".into(), JOIN_FILE.into()];
        for (at, pod) in self.static_pods.iter().enumerate() {
            let aside = format!("{STATIC_PODS}/{at}");
            runcmd.push(vec!["cp".into(), aside.clone(), pod.path.clone()]);
            secret.push(aside.clone());
            write_files.push(WriteFile { path: aside, ..pod.clone() });
        }
        secret.extend(COPIES.map(str::to_owned));
        runcmd.push(secret);
        CloudConfig { hostname: Some(self.node_name.clone()), write_files, runcmd }
    }

    /// Bridged packets are seen by iptables, and packets are passed on.
    fn sysctls(&self) -> String {
        let v4 = ["net.bridge.bridge-nf-call-iptables", "net.ipv4.ip_forward"];
        let v6 = ["net.bridge.bridge-nf-call-ip6tables", "net.ipv6.conf.all.forwarding"];
        // kubeadm wants IPv4's forwarding in every cluster. IPv6's is left alone where no pod has such an address:
        // with it a host stops listening to router advertisements.
        let settings = match self.families {
            Families::V4 => v4.to_vec(),
            Families::V6 | Families::Both => [v4, v6].concat(),
        };
        settings.iter().map(|name| format!("{name} = 1\n")).collect()
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
        }
        let arguments = self.kubelet_arguments();
        if !arguments.is_empty() {
            registration["kubeletExtraArgs"] = if newest {
                arguments.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
            } else {
                json!(arguments)
            };
        }
        document["nodeRegistration"] = registration;
        document
    }

    fn kubelet_arguments(&self) -> BTreeMap<String, String> {
        let mut arguments = self.kubelet.extra.clone();
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                arguments.insert(name.to_owned(), value);
            }
        };
        set("node-ip", self.kubelet.node_ip.map(|address| address.to_string()));
        set("provider-id", self.kubelet.provider_id.clone());
        if let Some(control_plane) = &self.control_plane {
            // kubeadm taints a control plane only after its kubelet has registered; the flag leaves no
            // moment in which pods could land.
            let line: Vec<String> = self
                .taints
                .iter()
                .chain(&control_plane.taints)
                .map(|t| format!("{}={}:{}", t.key, t.value, t.effect))
                .collect();
            set("register-with-taints", (!line.is_empty()).then(|| line.join(",")));
        }
        arguments
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
            families: Families::V4,
            kubelet: KubeletArguments::default(),
            cgroup_driver: CgroupDriver::Systemd,
            requirements: vec![Requirement {
                test: "test -x /opt/cni/bin/bridge".into(),
                lacks: "it lacks bridge".into(),
            }],
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
    fn an_older_cluster_of_both_families_tells_its_kubelets_more() {
        let join = Join {
            kubernetes_version: "v1.29.9".into(),
            families: Families::Both,
            cgroup_driver: CgroupDriver::Cgroupfs,
            kubelet: KubeletArguments {
                node_ip: "fd00::7".parse().ok(),
                provider_id: Some("aws:///eu-west-1a/i-07".into()),
                extra: BTreeMap::from([("cloud-provider".into(), "external".into())]),
            },
            static_pods: vec![WriteFile::text("/etc/kubernetes/manifests/vip.yaml", "kind: Pod\n", 0o600)],
            ..worker()
        };
        insta::assert_snapshot!(join.cloud_config().render());
    }

    #[test]
    fn kubelets_are_told_in_the_form_of_their_kubeadm() {
        let extra = BTreeMap::from([("max-pods".to_owned(), "50".to_owned())]);
        let join = Join { kubelet: KubeletArguments { extra, ..KubeletArguments::default() }, ..worker() };
        let told = |join: &Join| join.configuration()["nodeRegistration"]["kubeletExtraArgs"].clone();
        assert_eq!(told(&join), json!([{"name": "max-pods", "value": "50"}]));
        let older = Join { kubernetes_version: "v1.30.2".into(), ..join };
        assert_eq!(told(&older), json!({"max-pods": "50"}));
        assert_eq!(told(&worker()), json!(null));
    }

    #[test]
    fn every_file_with_a_secret_is_removed_by_the_last_command() {
        let pod = WriteFile::text("/etc/kubernetes/manifests/vip.yaml", "password", 0o600);
        let config = Join { static_pods: vec![pod], ..worker() }.cloud_config();
        let last = config.runcmd.last().unwrap();
        let secret = config.write_files.iter().filter(|file| file.path.starts_with("/run/"));
        let secret: Vec<&String> = secret.map(|file| &file.path).filter(|path| *path != LACKS_FILE).collect();
        assert_eq!(secret.len(), 2);
        assert!(last[0] == "rm" && secret.iter().all(|path| last.contains(path)), "{last:?}");
    }

    #[test]
    fn nothing_prints_a_secret() {
        let join = worker();
        let shown = format!("{join:?} {:?}", join.cloud_config());
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
    }
}
