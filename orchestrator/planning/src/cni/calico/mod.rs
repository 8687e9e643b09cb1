//! What there is to know of Calico: which install a cluster has, which objects are its own, how
//! it is kept off new nodes, and in which order it is removed.
//!
//! - [`detect`]: the install, by what runs and what is served, never by one version's list.
//! - [`images`]: which images are Calico's.
//! - [`objects`]: every object that belongs to the install.
//! - [`access`]: its service accounts, roles and bindings.
//! - [`canal`]: its own Flannel, and how the new one keeps apart.
//! - [`namespaces`]: its namespaces.
//! - [`ranges`]: the pools and blocks in use.
//! - [`withdraw`]: the patches that pin it to the old nodes.
//! - [`removal`]: the stages that remove it.
//! - [`features`]: what ends with it.

pub mod access;
pub mod canal;
pub mod detect;
pub mod features;
pub mod images;
pub mod namespaces;
pub mod objects;
pub mod ranges;
pub mod removal;
pub mod withdraw;

/// API groups whose kinds are Calico's alone. `policy.networking.k8s.io` is not among them: its
/// kinds are upstream's and shared, though Calico's manifests bring them.
pub const GROUPS: [&str; 4] =
    ["crd.projectcalico.org", "projectcalico.org", "operator.tigera.io", "migration.projectcalico.org"];

/// Whether an API group is Calico's alone.
pub fn is_calico_group(group: &str) -> bool {
    GROUPS.contains(&group)
}
