//! Everything that touches the world: observing a cluster, carrying out a plan, undoing it.
//!
//! - [`world`]: the outside of a run, in one value.
//! - [`api`]: the Kubernetes API, untyped and without retries of its own.
//! - [`run_dir`]: a run's directory; [`journal`]: records on disk before the act, and what they fold to.
//! - [`clock`]: wall time from one source.
//! - [`guards`]: what keeps a run's promises, each with a switch.

pub mod api;
pub mod clock;
pub mod guards;
pub mod journal;
pub mod run_dir;
pub mod world;

pub use guards::Guards;
pub use run_dir::RunDir;
pub use world::World;
