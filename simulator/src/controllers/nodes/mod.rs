//! Controllers of nodes and of the pods that lose theirs.

pub(crate) mod cidrs;
pub(crate) mod ipam;
pub(crate) mod lifecycle;
pub(crate) mod pod_gc;
pub(crate) mod taint_eviction;
mod taints;
