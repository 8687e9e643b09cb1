//! Names that both sides of the protocol use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a name as it was given.
            pub fn new(value: impl Into<String>) -> Self {
                Self(value.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self::new(value)
            }
        }
    };
}

name_type! {
    /// A machine as its provider names it, such as `i-0abc` on EC2. Opaque to everyone else.
    MachineId
}
name_type! {
    /// A snapshot as its provider names it. Opaque to everyone else.
    SnapshotId
}
name_type! {
    /// One run of a plan against one cluster.
    RunId
}
name_type! {
    /// The caller's name for one effect. Asking twice with the same id and the same arguments has
    /// the effect once and gives the same answer.
    OperationId
}

/// The fencing token of the cluster's lock. A provider that has seen a higher one answers a
/// mutating call that carries a lower one with [`crate::ErrorCode::Denied`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
