//! What a new machine is told at its first boot: user-data as typed values.
//!
//! - [`config`]: `#cloud-config` documents.
//! - [`join`]: a machine that joins a cluster with kubeadm.
//! - [`secret`]: values that are shown to nobody by accident.

pub mod config;
pub mod join;
pub mod secret;

pub use config::{CloudConfig, WriteFile};
pub use join::{ControlPlane, Join, JoinTaint};
pub use secret::Secret;
