//! The machine API: what a cloud would offer, under `/machines/v1`.

mod routes;
mod types;

pub(crate) use routes::router;
pub use types::{
    CreateMachine, Denial, Effect, ErrorCode, MachineError, MachineRole, MachineState, MachineView,
    SnapshotState, SnapshotView,
};
