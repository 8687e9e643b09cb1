//! What a run did: records, the one table of legal transitions, and the state of a run as a fold.

pub mod record;
pub mod run_state;
pub mod status;
pub mod transition;

pub use record::{Entry, Header, Record, SCHEMA};
pub use run_state::{RunPhase, RunState, StepRecord};
pub use status::{NodeCount, Standing, Status, WaitingFor};
pub use transition::{Event, IllegalTransition, StepPhase};
