//! What a new machine is told at its first boot: user-data as typed values.
//!
//! - [`config`]: `#cloud-config` documents.
//! - [`join`]: a machine that joins a cluster with kubeadm.
//! - [`snippet`]: the user's own share, read strictly.
//! - [`merge`]: cloud-init's rules for putting one document over another.
//! - [`user_data`]: all of it in one of the forms that cloud-init reads, and the limits of platforms.
//! - [`secret`]: values that are shown to nobody by accident.
//! - [`seed`]: the volume that carries user-data to a machine without a cloud (NoCloud).

pub mod config;
pub mod join;
pub mod merge;
pub mod secret;
pub mod seed;
pub mod snippet;
pub mod user_data;

pub use config::{CloudConfig, WriteFile};
pub use join::{CgroupDriver, ControlPlane, Families, Join, JoinTaint, KubeletArguments, Requirement};
pub use secret::Secret;
pub use seed::{MetaData, Seed, SeedError};
pub use snippet::Snippet;
pub use user_data::{Form, Limit, UserData, UserDataError};
