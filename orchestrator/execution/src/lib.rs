//! Everything that touches the world: observing a cluster, carrying out a plan, undoing it.
//!
//! - [`journal`]: records on disk before the act, and what they fold to.
//! - [`clock`]: wall time from one source.
//! - [`guards`]: what keeps a run's promises, each with a switch.

pub mod clock;
pub mod guards;
pub mod journal;
