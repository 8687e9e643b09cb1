//! Who owns which field: server-side apply, and what other writes do to ownership.
//!
//! - [`apply`]: server-side apply. [`track`]: all other writes.
//! - [`set`]: sets of fields; [`entries`]: `managedFields`, which holds them.
//! - [`combine`] and [`compare`]: merging, removing and comparing by list keys.

pub mod apply;
pub mod combine;
pub mod compare;
pub mod entries;
pub mod set;
pub mod track;

pub use apply::{Applier, server_side_apply};
pub use entries::Managers;
pub use track::{Writer, track_update};
