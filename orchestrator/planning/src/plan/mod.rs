//! What will be done: complete, immutable, bound to a cluster. A plan leaves the executor no choice.

pub mod action;
pub mod allocation;
pub mod document;

pub use action::{Action, Undo};
pub use allocation::{Allocation, Slot};
pub use document::{Binding, Plan, PlannedStep};
