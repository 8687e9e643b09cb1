//! What stands in the way of a migration: one file a check, each a pure function from intent and
//! state to findings.

pub mod finding;

pub use finding::{Code, Consent, Finding, Severity};
