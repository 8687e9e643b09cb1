//! Suites in which the simulator, the provider and replank are programs of their own.
mod demo;
mod kubectl;
