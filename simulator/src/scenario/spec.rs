//! The description of a cluster.

use super::builtin::{CANAL_NETWORK, Calico, Shape};
use super::manifest::Manifest;
use crate::families::Families;
use crate::machines::Durations;

/// The range that kubeadm is told for pods, which is Calico's customary one.
pub const POD_SUBNET: &str = "192.168.0.0/16";

/// The same for IPv6.
pub const POD_SUBNET_V6: &str = "fd00:10:64::/48";

/// The range of Services.
pub const SERVICE_SUBNET: &str = "10.96.0.0/12";

/// The same for IPv6; as large as the API server takes it.
pub const SERVICE_SUBNET_V6: &str = "fd00:10:96::/108";

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// How many control planes, stacked with etcd.
    pub control_planes: usize,
    /// How many workers.
    pub workers: usize,
    /// About how many pods of workloads, DaemonSets' pods not counted.
    pub pods: usize,
    /// What everything random derives from.
    pub seed: u64,
    /// The built-in Calico to install.
    pub calico: Calico,
    /// The network to install instead of the built-in Calico; none: the built-in one.
    pub manifests: Vec<Manifest>,
    /// `podSubnet` of kubeadm's configuration.
    pub pod_subnet: String,
    /// `serviceSubnet` of kubeadm's configuration.
    pub service_subnet: String,
    /// How long things take.
    pub durations: Durations,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            control_planes: 3,
            workers: 9,
            pods: 300,
            seed: 1,
            calico: Calico::default(),
            manifests: Vec::new(),
            pod_subnet: POD_SUBNET.to_owned(),
            service_subnet: SERVICE_SUBNET.to_owned(),
            durations: Durations::default(),
        }
    }
}

impl ClusterSpec {
    /// One control plane and two workers with a few pods on this Calico, in the ranges that it needs.
    pub fn small(calico: Calico) -> Self {
        let v4 = if calico.shape == Shape::Canal { CANAL_NETWORK } else { POD_SUBNET };
        let of = |v4: &str, v6: &str| match calico.families {
            Families::V4 => v4.to_owned(),
            Families::V6 => v6.to_owned(),
            Families::Dual => format!("{v4},{v6}"),
        };
        Self {
            control_planes: 1,
            workers: 2,
            pods: 6,
            pod_subnet: of(v4, POD_SUBNET_V6),
            service_subnet: of(SERVICE_SUBNET, SERVICE_SUBNET_V6),
            calico,
            ..Self::default()
        }
    }
}
