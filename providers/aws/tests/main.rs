//! The provider against an EC2 in memory.

#![allow(clippy::print_stderr, missing_docs, unreachable_pub, reason = "a test's own output and helpers")]

mod balancing;
mod conformance;
mod creating;
mod disks;
mod documents;
mod grouping;
mod moto;
mod support;
mod validating;
