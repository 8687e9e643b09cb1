//! Stories of the controllers, on a server with stand-ins for kubelets.

mod nodes;
mod scheduling;
mod workloads;
mod world;
