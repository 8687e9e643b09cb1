//! EC2 instances as machines.
//!
//! - [`settings`]: which account, and what new machines may be.
//! - [`account`]: how AWS is reached.
//! - [`provider`]: the verbs.
//! - [`ledger`]: each effect happens once, and only under the newest epoch.
//! - [`tags`]: how replank knows again what it made.
//! - [`instances`]: instances as machines.
//! - [`launch`]: what a new machine is to be, and where.
//! - [`refusal`]: AWS's errors.
//!
//! `firewall`, `groups` and `balancers` hold what must be true around a machine: that Flannel's packets come
//! through, that its Auto Scaling group lets it go, that its load balancers know.
//! `create`, `power`, `snapshots`, `restore` and `validate` hold what the verbs of those names do.

pub mod account;
mod balancers;
mod create;
pub mod firewall;
mod groups;
pub mod instances;
pub mod launch;
pub mod ledger;
mod power;
pub mod provider;
pub mod refusal;
mod restore;
pub mod settings;
mod snapshots;
pub mod tags;
mod validate;

pub use provider::AwsProvider;
