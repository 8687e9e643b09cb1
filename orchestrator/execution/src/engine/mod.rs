//! Carrying out a plan, and undoing what the journal says was done.
//!
//! - [`run`]: [`Engine`]: the graph of steps, several at once.
//! - [`drive`]: one step: check, capture, record, act, record.
//! - [`rollback`]: the way back, in reverse order of the journal.
//! - [`context`]: all that a step may touch; [`waits`], [`requests`] and [`provider`] are parts of it.
//! - [`waits`]: what a step waits for, and for how long.
//! - [`requests`]: the API server, with every retry.
//! - [`provider`]: the provider, asked until its work is done.
//! - [`outcome`]: how a run ends, and why a step did not.
//! - [`host`]: a machine's host, through the provider.
//! - [`edit`]: changes that rest on what was read.
//! - [`event`]: what is told to whoever watches.
//! - [`pause`]: who may ask for a pause.
//! - [`mirror`]: the run as others see it in the cluster, and their requests.

pub mod context;
pub mod drive;
pub mod edit;
pub mod event;
pub mod host;
pub mod mirror;
pub mod outcome;
pub mod pause;
pub mod provider;
pub mod requests;
pub mod rollback;
pub mod run;
pub mod waits;

pub use context::StepContext;
pub use event::RunEvent;
pub use outcome::{Outcome, RunError, StepError};
pub use run::{Engine, cluster_uid};
