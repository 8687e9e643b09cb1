//! What is true of a cluster, seen from outside: nothing here shares code with what removes or
//! guards.
//!
//! - [`inventory`]: everything there is, and the differences between two looks.

pub mod inventory;

pub use inventory::{Inventory, changed, leftovers};
