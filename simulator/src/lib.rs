//! A Kubernetes cluster in memory: the API server with the controllers that matter, machines
//! with kubelets, and the agents of the pod networks, all on one clock.

pub mod agents;
pub mod clock;
pub mod controllers;
mod families;
pub mod faults;
pub mod machines;
pub mod observer;
pub mod scenario;
pub mod schema;
pub mod server;
pub mod standalone;

pub use clock::Clock;
pub use families::Families;
