//! Machines and what runs on them: hosts with files and processes, kubelets, CNI, static pods,
//! etcd members, kubeadm, and the machine API that stands for a cloud.
//!
//! Everything that plays a kubelet or an agent talks to an API server through [`kube::Client`].

mod access;
pub(crate) mod api;
mod cloud_init;
pub(crate) mod cni;
mod container_files;
mod control_plane;
mod datacenter;
mod durations;
mod embedded;
mod etcd;
pub mod host;
mod kubeadm;
mod kubelet;
mod machine;
mod machine_api;
mod program;
mod runtime;
mod site;
#[cfg(test)]
pub(crate) mod stories;
pub(crate) mod urls;

pub use access::{ApiAccess, RemoteApi};
pub use cni::keyspace::Keyspace;
pub use container_files::{ContainerFileError, ContainerFiles};
pub use datacenter::{Caller, Datacenter, DatacenterConfig, Glance};
pub use durations::Durations;
pub use etcd::{Etcd, EtcdError, Member};
pub use host::{CommandOutput, HostFiles, HostHandle, HostIdentity, Interface};
pub(crate) use kubeadm::pin as kubeadm_pin;
pub(crate) use kubelet::VERSION as KUBELET_VERSION;
pub use machine_api::{
    CreateMachine, Denial, Effect, ErrorCode, MachineError, MachineRole, MachineState, MachineView,
    SnapshotState, SnapshotView,
};
pub use program::{ContainerSpecView, Exit, Program, ProgramContext, Programs};
