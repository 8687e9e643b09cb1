//! The demo: a cluster of its own, migrated, verified and told about.
//!
//! - [`arguments`]: its flags.
//! - [`story`]: from the cluster to the account.
//! - [`pace`]: virtual time at a speed.
//! - [`stage`]: the world of its run, and where that is kept; [`secrets`]: the run's, from the seed.
//! - [`account`]: what is told at the end; [`record`]: what is kept beside.
//! - [`error`]: why there is no account.
//! - [`unplanned`]: what came that the plan does not name.
//! - [`serving`]: the cluster afterwards, for kubectl.

mod account;
mod arguments;
mod error;
mod pace;
mod record;
mod secrets;
mod serving;
mod stage;
mod story;
mod unplanned;

pub(crate) use account::{Account, Verdict};
pub(crate) use arguments::DemoArguments;
use arguments::Speed;
pub(crate) use error::DemoError;
pub(crate) use serving::serve;
pub(crate) use story::{Progress, tell};
