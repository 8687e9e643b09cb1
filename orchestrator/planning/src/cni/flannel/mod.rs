//! Flannel's objects, and the gate that keeps it off the old nodes.
//!
//! - [`config`]: its network configuration.
//! - [`render`]: the objects of this version.
//! - [`daemon_set`]: its DaemonSet.
//! - [`manifest`]: a manifest of the user's own, gated the same way.

pub mod config;
mod daemon_set;
pub mod manifest;
pub mod render;

/// The version that this release of replank was tried with.
pub const VERSION: &str = "v0.28.9";

/// Its image.
pub const IMAGE: &str = "ghcr.io/flannel-io/flannel:v0.28.9";

/// The image that brings its CNI plugin to the host.
pub const PLUGIN_IMAGE: &str = "ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1-flannel3";

/// The namespace of its objects.
pub const NAMESPACE: &str = "kube-flannel";
