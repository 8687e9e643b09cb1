//! Everything that touches the world: observing a cluster, carrying out a plan, undoing it.
//!
//! - [`world`]: the outside of a run, in one value.
//! - [`api`]: the Kubernetes API, untyped and without retries of its own.
//! - [`run_dir`]: a run's directory; [`journal`]: records on disk before the act, and what they fold to.
//! - [`mod@observe`]: the cluster as it is now.
//! - [`fit`]: whether a plan still fits the cluster.
//! - [`rights`]: whether the API server will allow it all; [`lock`]: one actor per cluster.
//! - [`engine`]: the graph of steps, forward and back; [`steps`]: what each action does.
//! - [`finalize`]: giving up the way back; [`orphans`]: what nobody remembers.
//! - [`clock`]: wall time from one source.
//! - [`guards`]: what keeps a run's promises, each with a switch.

pub mod api;
pub mod clock;
pub mod engine;
pub mod finalize;
pub mod fit;
pub mod guards;
pub mod journal;
pub mod lock;
pub mod observe;
pub mod orphans;
pub mod rights;
pub mod run_dir;
pub mod steps;
pub mod world;

pub use engine::{Engine, Outcome, RunError, RunEvent};
pub use guards::Guards;
pub use observe::{ObserveError, Settings, observe};
pub use run_dir::RunDir;
pub use world::World;
