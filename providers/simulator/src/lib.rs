//! The provider of the embedded cluster's machines: an ordinary provider over the simulator's
//! machine API, in process or over TCP.
//!
//! - [`transport`]: one request, one answer, errors as the protocol knows them.
//! - [`wire`]: the machine API's documents.
//! - [`provider`]: the verbs.

pub mod provider;
pub mod transport;
pub mod wire;

pub use provider::SimulatorProvider;
