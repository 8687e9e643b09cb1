//! Schemas compiled for speed, and what is done with them.
//!
//! - [`schema`]: the compiled form; [`compile()`] makes it from a JSON schema.
//! - [`normalise()`]: pruning, nulls and defaults in one walk.
//! - [`types`]: whether an object can be read as the Go type of a built-in kind.
//! - [`validate()`]: the rules of CRDs, CEL included.
//! - [`path`]: where a walk stands.

pub mod cel;
pub mod compile;
pub mod normalise;
pub mod path;
pub mod rules;
pub mod schema;
pub mod types;
pub mod validate;

pub use compile::compile;
pub use normalise::{Dialect, normalise};
pub use schema::{Kind, ListType, Schema};
pub use validate::{FieldError, Findings, validate};
