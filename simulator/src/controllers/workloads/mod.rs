//! Controllers of what makes pods.

pub(crate) mod daemon_sets;
mod daemon_update;
mod deployment_rollout;
pub(crate) mod deployments;
pub(crate) mod jobs;
mod orphans;
pub(crate) mod pods;
pub(crate) mod replica_sets;
mod revisions;
mod stateful_pod;
pub(crate) mod stateful_sets;
