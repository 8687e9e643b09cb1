//! The documents that tell clients what the API has.
//!
//! - [`discovery`]: groups, versions and resources, one by one or all at once.
//! - [`openapi`]: schemas, as OpenAPI 2 and 3; [`convert`] writes them.

pub mod convert;
pub mod discovery;
pub mod openapi;
