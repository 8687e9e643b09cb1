//! What there is to know of the two networks.

pub mod calico;
pub mod flannel;
