//! The conformance suite: named cases that hold a provider to `docs/provider-protocol.md`.
//!
//! - [`subject`]: the provider under test, as a plugin's process or within this one.
//! - [`case`]: what a case is and what it needs.
//! - [`stage`]: a case's own cluster, run and machines, and what it asks with.
//! - [`wire`]: lines as they go over a plugin's pipes.
//! - [`cases`]: the cases, one file a group.
//! - [`report`]: what came of them.
//!
//! Every case has a cluster id of its own, so that no epoch of it fences anybody else, and takes
//! away what it made. A machine that it did not make is looked at only.

pub mod case;
mod cases;
pub mod report;
mod stage;
pub mod subject;
mod suite;
mod wire;

pub use report::{CaseReport, Outcome, Report, Summary};
pub use subject::{Session, Subject};
pub use suite::{Options, check, names};
