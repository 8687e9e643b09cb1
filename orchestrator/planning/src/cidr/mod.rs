//! Ranges: which meet which, which is free, and which node gets what.
//!
//! - [`choose`]: a range for the new network that meets nothing in use.
//! - [`allocate`]: one podCIDR per replacement, disjoint from every Node and every Calico block.

mod allocate;
mod choose;

pub use allocate::{Exhausted, NodeCidrs};
pub use choose::{NoFreeRange, choose_ipv4, choose_ipv6};

use ipnet::IpNet;

/// Whether two ranges share an address.
pub fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// The first of `others` that shares an address with `range`.
pub fn first_overlap<'a>(range: &IpNet, others: impl IntoIterator<Item = &'a IpNet>) -> Option<&'a IpNet> {
    others.into_iter().find(|other| overlap(range, other))
}

/// Reads a comma-separated list of ranges, as flags and kubeadm's records hold them; parts that
/// are no range are left out.
pub fn parse_list(text: &str) -> Vec<IpNet> {
    text.split(',').filter_map(|part| part.trim().parse().ok()).collect()
}

/// Writes ranges as the flags of Kubernetes' programs expect them.
pub fn join(ranges: &[IpNet]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
