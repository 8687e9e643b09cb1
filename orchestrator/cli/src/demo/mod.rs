//! The demo: a cluster of its own, migrated, verified and told about.
//!
//! - [`arguments`]: its flags.
//! - [`story`]: from the cluster to the account.
//! - [`pace`]: virtual time at a speed.
//! - [`account`]: what is told at the end.
//! - [`serving`]: the cluster afterwards, for kubectl.

mod account;
mod arguments;
mod pace;
mod record;
mod secrets;
mod serving;
mod story;

pub(crate) use account::{Account, Verdict};
pub(crate) use arguments::DemoArguments;
use arguments::Speed;
pub(crate) use serving::serve;
pub(crate) use story::{DemoError, Progress, tell};
