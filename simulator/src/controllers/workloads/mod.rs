//! Controllers of what makes pods.

pub(crate) mod daemon_sets;
mod daemon_update;
mod deployment_rollout;
pub(crate) mod deployments;
mod orphans;
pub(crate) mod pods;
pub(crate) mod replica_sets;
mod revisions;
