//! From a description of a cluster to a running one.
//!
//! - [`spec`]: the description.
//! - [`manifest`]: files as `kubectl apply` accepts them.
//! - [`builtin`]: a Calico of this project's own.
//! - [`cluster`]: building it: control planes, workers, network, workloads.
//! - [`workloads`]: what runs on it; [`bystanders`]: what only looks like Calico's.

mod apply;
pub mod builtin;
pub mod bystanders;
pub mod cluster;
mod error;
mod joining;
pub mod manifest;
pub mod spec;
#[cfg(test)]
mod stories;
mod waiting;
pub mod workloads;

pub use cluster::Cluster;
pub use error::ScenarioError;
pub use manifest::{Manifest, ManifestError};
pub use spec::ClusterSpec;
