//! The messages of the provider protocol, version 1: serde types and nothing else.
//!
//! A provider is an executable that answers JSON-RPC 2.0 requests, one message a line, on its
//! standard input and output. `docs/provider-protocol.md` describes every verb.

pub mod capabilities;
pub mod error;
pub mod ids;
pub mod machine;
pub mod rpc;
pub mod schema;
pub mod verbs;

pub use capabilities::{Capabilities, Keeping, Replacement, SnapshotKind};
pub use error::{ErrorCode, ProviderError, Retry};
pub use ids::{Epoch, MachineId, OperationId, RunId, SnapshotId};
pub use machine::{Machine, MachineState, NodeFacts, Role, Snapshot, SnapshotState};
