//! The pure heart of replank: data in, data out.
//!
//! Nothing here reads a clock, a network, an environment or a source of randomness. The same input
//! gives the same plan, byte for byte.
//!
//! - [`intent`]: what the operator wants.
//! - [`state`]: the cluster as it was observed.
//! - [`cni`]: what there is to know of Calico and Flannel.
//! - [`cidr`]: ranges and their allocation.
//! - [`checks`]: what stands in the way, as findings.
//! - [`plan`]: what will be done, and [`planner`], which decides it; [`lint`] reads it again.
//! - [`rights`]: what the API server must allow for it.
//! - [`journal`]: what was done, and the state of a run as a fold over it.
//! - [`node_image`]: what a node's image must hold.
//! - [`waiting`]: why nothing happens right now.
//! - [`yaml`]: YAML as Kubernetes' own tools read and write it.

pub mod canonical;
pub mod checks;
pub mod cidr;
pub mod cni;
pub mod ids;
pub mod intent;
pub mod journal;
pub mod late;
pub mod lint;
pub mod node_image;
pub mod object;
pub mod plan;
pub mod planner;
pub mod rights;
pub mod state;
pub mod waiting;
pub mod yaml;
