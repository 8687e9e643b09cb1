//! What is true of a cluster, seen from outside: nothing here shares code with what removes or
//! guards.
//!
//! - [`effects`]: what somebody did to objects, and what of it happened twice.
//! - [`inventory`]: everything there is, and the differences between two looks.
//! - [`invariants`]: what must hold at every moment of a run, watched event by event.
//! - [`budgets`]: pods that a budget speaks for.
//! - [`aftermath`]: what must hold of a run's traces: machines, requests, secrets.

pub mod aftermath;
mod budgets;
pub mod effects;
pub mod invariants;
pub mod inventory;
#[cfg(test)]
mod stories;

pub use effects::Effects;
pub use invariants::Observer;
pub use inventory::{Inventory, came, changed, leftovers};

use serde::Serialize;

/// The names of all invariants; each has a guard of the same name that can be taken away.
pub const INVARIANTS: [&str; 10] = [
    "controller-manager-would-start",
    "pod-cidr-disjoint",
    "pdb",
    "ready-nodes",
    "etcd-quorum",
    "effect-once",
    "no-orphan",
    "kept-until-finalize",
    "only-planned-changes",
    "no-secret-written",
];

/// Something that was seen broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// What was seen, in a sentence.
    pub seen: String,
}
