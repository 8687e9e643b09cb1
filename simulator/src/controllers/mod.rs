//! The controllers of kube-controller-manager, and the scheduler.
//!
//! Both run inside the static pods of the control planes with the flags of those pods: one of
//! each leads, by Lease, the others wait. A [`runtime::Controller`] notes what an event concerns
//! and brings one noted key in order at a time; nothing lists everything per event.

mod cluster;
mod context;
mod disruption;
mod election;
mod manager;
mod nodes;
mod objects;
mod placement;
mod program;
mod queue;
mod runtime;
mod scheduler;
mod selected;
mod services;
#[cfg(test)]
mod stories;
mod volumes;
mod workloads;

use crate::machines::Programs;

/// The programs `kube-controller-manager` and `kube-scheduler`.
pub fn programs() -> Programs {
    Programs::new().with(program::ControllerManager).with(program::Scheduler)
}
