//! Names. Each idea has a type of its own, so that one can't stand in another's place.

pub use replank_provider_protocol::{Epoch, MachineId, OperationId, RunId, SnapshotId};
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
    /// `metadata.name` of a Node.
    NodeName
}
name_type! {
    /// `metadata.uid` of any object.
    Uid
}
name_type! {
    /// The uid of the `kube-system` namespace: what tells one cluster from another.
    ClusterUid
}
name_type! {
    /// A step of a plan, such as `worker-3/drain`: readable, unique in its plan, the same in every
    /// plan that is made from the same input.
    StepId
}
name_type! {
    /// The place of one node in the plan: one old machine out, one new machine in.
    SlotId
}
name_type! {
    /// SHA-256 over canonical JSON, in hex.
    Digest
}
