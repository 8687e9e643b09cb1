//! The embedded cluster as a program of its own, in real time.

mod command;

use clap::Parser;
use command::Arguments;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("REPLANK_LOG").unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    match command::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut err = std::io::stderr().lock();
            // There is nobody left to tell if stderr is gone.
            let _ = writeln!(err, "error: {}", command::with_causes(&error));
            ExitCode::FAILURE
        }
    }
}
