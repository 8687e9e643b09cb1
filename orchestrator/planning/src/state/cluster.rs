//! The whole picture.

use super::{Budget, Inventory, NodeState, PodState, Policy, Service, Webhook};
use crate::ids::{ClusterUid, NodeName};
use crate::object::Object;
use ipnet::IpNet;
use replank_provider_protocol::Capabilities;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything a plan is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterState {
    /// Which cluster.
    pub uid: ClusterUid,
    /// The API server's `gitVersion`.
    pub version: String,
    /// Every Node, by name.
    pub nodes: BTreeMap<NodeName, NodeState>,
    /// Every pod, by namespace and name.
    pub pods: Vec<PodState>,
    /// Every PodDisruptionBudget.
    pub budgets: Vec<Budget>,
    /// Every network policy of every kind that some API serves.
    pub policies: Vec<Policy>,
    /// Services with their ranges and backends.
    pub services: Vec<Service>,
    /// Admission webhooks and APIServices that are served from pods.
    pub webhooks: Vec<Webhook>,
    /// Every object that could be part of a network plugin, or that names one: whole objects of the
    /// kinds that the plugins bring, workloads with hostNetwork or a plugin's image, their accounts, roles, configuration.
    pub inventory: Inventory,
    /// What kubeadm recorded.
    pub kubeadm: Option<KubeadmConfig>,
    /// kube-proxy's configuration.
    pub kube_proxy: Option<KubeProxy>,
    /// The controller-manager of each control plane node, as its pod and its host's manifest say.
    pub controller_managers: BTreeMap<NodeName, ControllerManager>,
    /// The service ranges in use.
    pub service_ranges: Vec<IpNet>,
    /// What the provider said it can do; none if no provider was asked.
    pub provider: Option<Capabilities>,
}

/// `kube-system/kubeadm-config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeadmConfig {
    /// The ConfigMap as read.
    pub object: Object,
    /// `controlPlaneEndpoint`; empty if none.
    pub control_plane_endpoint: String,
    /// `networking.podSubnet`.
    pub pod_subnet: Vec<IpNet>,
    /// `networking.serviceSubnet`.
    pub service_subnet: Vec<IpNet>,
    /// `controllerManager.extraArgs`, of either kubeadm API version.
    pub controller_manager_args: BTreeMap<String, String>,
    /// `kubernetesVersion`.
    pub kubernetes_version: String,
}

/// kube-proxy's ConfigMap and DaemonSet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeProxy {
    /// The ConfigMap as read.
    pub config: Object,
    /// The DaemonSet as read, if there is one.
    pub daemon_set: Option<Object>,
    /// `clusterCIDR` of its configuration.
    pub cluster_cidr: Vec<IpNet>,
}

/// One controller-manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControllerManager {
    /// Its flags as its mirror pod shows them, without the leading dashes.
    pub flags: BTreeMap<String, String>,
}

impl ControllerManager {
    /// Whether it gives podCIDRs to Nodes.
    pub fn allocates(&self) -> bool {
        self.flags.get("allocate-node-cidrs").is_some_and(|v| v == "true")
    }
}
