//! Suites in which the simulator, the provider and replank are programs of their own.
mod commands;
mod demo;
mod journals;
mod kept;
mod kills;
mod kubectl;
mod outages;
mod plans;
mod provider_check;
mod served;
mod simulator;
mod support;
mod two_at_once;
