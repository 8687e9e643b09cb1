//! What a new machine is told at its first boot: user-data as typed values.
//!
//! - [`config`]: `#cloud-config` documents.
//! - [`join`]: a machine that joins a cluster with kubeadm.
//! - [`secret`]: values that are shown to nobody by accident.
//! - [`seed`]: the volume that carries user-data to a machine without a cloud (NoCloud).

pub mod config;
pub mod join;
pub mod secret;
pub mod seed;

pub use config::{CloudConfig, WriteFile};
pub use join::{ControlPlane, Join, JoinTaint};
pub use secret::Secret;
pub use seed::{MetaData, Seed, SeedError};
