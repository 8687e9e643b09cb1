//! Machines: namespaces with a disk, an address and services of their own.
//!
//! - [`record`]: what is known of a machine.
//! - [`disk`]: its root file system.
//! - [`network`]: its address.
//! - [`life`]: on, off, frozen.

pub(crate) mod disk;
pub(crate) mod life;
pub mod network;
pub mod record;

pub use record::{Power, Record, Role, Wanted};
