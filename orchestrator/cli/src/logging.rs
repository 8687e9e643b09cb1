//! The log, on stderr: warnings, or whatever `REPLANK_LOG` asks for.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Begins to log.
pub(crate) fn begin() {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let filter = EnvFilter::try_from_env("REPLANK_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour).init();
}
