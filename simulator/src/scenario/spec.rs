//! The description of a cluster.

use super::manifest::Manifest;
use crate::machines::Durations;

/// The range that kubeadm is told for pods, which is Calico's customary one.
pub const POD_SUBNET: &str = "192.168.0.0/16";

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
    /// The network to install instead of the built-in Calico; none: the built-in one.
    pub manifests: Vec<Manifest>,
    /// `podSubnet` of kubeadm's configuration.
    pub pod_subnet: String,
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
            manifests: Vec::new(),
            pod_subnet: POD_SUBNET.to_owned(),
            durations: Durations::default(),
        }
    }
}
