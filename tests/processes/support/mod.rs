//! What the stories of separate processes share.
//!
//! - [`program`]: a child process that always ends, its output kept.
//! - [`simulator`]: `replank-simulator` on loopback, its faults and what it saw.
//! - [`kubectl`]: the real kubectl with the way to one cluster.
//! - [`operator`]: `replank` with a home of its own, its plan and its runs.
//! - [`chance`]: random moments that can be played again.

pub(crate) mod chance;
pub(crate) mod kubectl;
pub(crate) mod operator;
pub(crate) mod program;
pub(crate) mod simulator;

pub(crate) use chance::Chance;
pub(crate) use kubectl::Kubectl;
pub(crate) use operator::Operator;
pub(crate) use program::Program;
pub(crate) use simulator::{SMALL, Simulator};
