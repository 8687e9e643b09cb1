//! The provider of the lab's machines: an ordinary provider over [`replank_lab`].
//!
//! - [`provider`]: the verbs.
//! - [`ledger`]: each effect happens once, and only under the newest epoch.
//! - [`shown`]: machines, snapshots and errors as the protocol shows them.

pub mod ledger;
pub mod provider;
mod shown;

pub use provider::LabProvider;
