//! The provider of the embedded cluster's machines: an ordinary provider over the simulator's
//! machine API, in process or over TCP.
//!
//! - [`transport`]: one request, one answer, errors as the protocol knows them.
//! - [`wire`]: the machine API's documents.
//! - [`kubeconfig`]: from the caller's settings to a client.
//! - [`provider`]: the verbs.

pub mod kubeconfig;
pub mod provider;
pub mod transport;
pub mod wire;

pub use provider::SimulatorProvider;
