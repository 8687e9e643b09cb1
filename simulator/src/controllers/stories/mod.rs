//! Stories of the controllers, on a server with stand-ins for kubelets.

mod budgets;
mod endings;
mod jobs;
mod nodes;
mod programs;
mod scheduling;
mod services;
mod size;
mod stateful;
mod volumes;
mod workloads;
mod world;
