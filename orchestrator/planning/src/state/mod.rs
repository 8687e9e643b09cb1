//! The cluster as it was observed: slim, pure data, made by the execution crate's `observe`.

pub mod cluster;
pub mod inventory;
pub mod kinds;
pub mod node;
pub mod workload;

pub use cluster::{ClusterState, ControllerManager, KubeProxy, KubeadmConfig};
pub use inventory::{Inventory, Item};
pub use kinds::common_kinds;
pub use node::{Health, HostAccess, HostInventory, MachineFacts, NodeState, Readiness, Taint, TaintEffect};
pub use workload::{Budget, Owner, PodPhase, PodState, PodVolume, Policy, Service, Webhook, WebhookFailure};
