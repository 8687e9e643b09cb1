//! From a description of a cluster to a running one.
