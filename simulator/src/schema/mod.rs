//! What the API knows about kinds: their names, schemas, patches and documents.
//!
//! - [`builtin`] and [`resource`]: the coordinates of kinds.
//! - [`registry`]: which kinds there are, CustomResourceDefinitions included.
//! - [`definitions`]: the built-in kinds' schemas; [`structural`]: schemas at work.
//! - [`prepare()`]: everything between reading an object and storing it; [`defaults`] is its larger part.
//! - [`documents`]: discovery and OpenAPI.
//! - [`tables`]: collections as kubectl prints them.
//! - [`patch`]: JSON, merge and strategic patches; [`ownership`]: server-side apply and `managedFields`.

pub mod builtin;
pub mod defaults;
pub mod definitions;
pub mod documents;
pub mod ownership;
pub mod patch;
pub mod prepare;
pub mod registry;
pub mod resource;
pub mod structural;
pub mod tables;

pub use ownership::{Applier, Managers, Writer, server_side_apply, track_update};
pub use patch::{PatchKind, apply_patch};
pub use prepare::{FieldValidation, Warning, decode, prepare, prepare_status};
pub use registry::{Registry, ResourceInfo};
pub use resource::Resource;
pub use tables::table;
