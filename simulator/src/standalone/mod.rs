//! A cluster that others reach over TCP: its addresses, its kubeconfig, and its faults.
//!
//! - [`access`]: serving with TLS and writing the kubeconfig.
//! - [`faults_api`]: raising and lifting faults over HTTP.
//! - [`record`]: what `--record` keeps.
//! - [`strangers`]: who may ask what is not the Kubernetes API.
//! - [`witness`]: what was seen; [`witness_api`]: the same over HTTP.

mod access;
mod faults_api;
mod record;
mod strangers;
mod witness;
mod witness_api;

pub use access::{Access, AccessError, open};
pub use record::Record;

/// The version of the documents of the simulator's own API.
pub const API_VERSION: &str = "simulator.replank.dev/v1";
