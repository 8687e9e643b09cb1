//! Carrying out a plan, and undoing what the journal says was done.
//!
//! - [`run`]: [`Engine`]: the graph of steps, several at once.
//! - [`drive`]: one step: check, capture, record, act, record.
//! - [`rollback`]: the way back, in reverse order of the journal.
//! - [`context`]: all that a step may touch, with every retry and every wait.
//! - [`outcome`]: how a run ends, and why a step did not.
//! - [`host`]: a machine's host, through the provider.
//! - [`edit`]: changes that rest on what was read.
//! - [`event`]: what is told to whoever watches.
//! - [`mirror`]: the run as others see it in the cluster, and their requests.

pub mod context;
pub mod drive;
pub mod edit;
pub mod event;
pub mod host;
pub mod mirror;
pub mod outcome;
pub mod rollback;
pub mod run;

pub use context::StepContext;
pub use event::RunEvent;
pub use outcome::{Outcome, RunError, StepError};
pub use run::{Engine, cluster_uid};
