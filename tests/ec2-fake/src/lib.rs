//! An EC2 in memory, with what moto does not do: client tokens that are held to, states that take time, places
//! without room, throttling, things that are not shown at first, and answers that are lost after the act.
//!
//! - [`server`]: the Query protocol over HTTP.
//! - [`faults`]: what goes wrong, and when.
//! - [`world`]: what there is.
//! - [`groups`], [`balancers`]: groups of machines, and what spreads connections over them.
//! - `instances`, `tagging`, `storage`, `network`: the other actions, one file a subject.
//!
//! It knows nothing of replank, and nothing of replank's computes what it is asked about.

#![allow(clippy::unnecessary_wraps, reason = "every action answers alike, whether it can refuse or not")]

pub mod balancers;
pub mod faults;
pub mod groups;
mod instances;
mod network;
pub mod request;
pub mod server;
pub mod storage;
mod tagging;
pub mod world;
pub mod xml;

pub use faults::Fault;
pub use server::Fake;
pub use world::{Pace, World};
