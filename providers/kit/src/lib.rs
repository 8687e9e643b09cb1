//! What a provider is made with, and what replank reaches one through.
//!
//! - [`provider`]: the trait that every provider implements.
//! - [`server`]: a provider on standard input and output.
//! - [`discovery`]: where plugins lie.
//! - [`plugin`]: a plugin as a [`Provider`]: started, watched, restarted, never trusted.
//! - [`conformance`]: what every provider must do, as named cases.
//! - [`ledger`]: each effect happens once, for providers whose backend can't remember it.
//! - [`escape`]: what a plugin sends, made fit for a terminal.

pub mod conformance;
pub mod discovery;
pub mod escape;
#[cfg(unix)]
pub mod ledger;
pub mod lines;
pub mod plugin;
pub mod provider;
pub mod server;

pub use plugin::PluginProvider;
pub use provider::Provider;
