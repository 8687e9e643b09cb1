//! A cluster that others reach over TCP: its addresses, its kubeconfig, and its faults.
//!
//! - [`access`]: serving with TLS and writing the kubeconfig.
//! - [`faults_api`]: raising and lifting faults over HTTP.

mod access;
mod faults_api;

pub use access::{Access, AccessError, open};
