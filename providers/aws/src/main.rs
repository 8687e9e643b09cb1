//! EC2 instances as a plugin: calls on stdin, answers on stdout.

use replank_provider_aws::AwsProvider;
use replank_provider_kit::server::serve_stdio;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(filter()).with_writer(std::io::stderr).init();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell if stderr is gone.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is logged. The SDK's own account of requests holds user-data, and with it a join token: it stays off
/// whatever is asked for.
fn filter() -> EnvFilter {
    let asked = EnvFilter::try_from_env("REPLANK_LOG").unwrap_or_else(|_| "warn".into());
    [
        "aws_smithy_runtime=warn",
        "aws_smithy_runtime_api=warn",
        "aws_smithy_http_client=warn",
        "aws_runtime=warn",
        "aws_sdk_ec2=warn",
        "aws_sigv4=warn",
        "aws_config=warn",
        "hyper=warn",
        "hyper_util=warn",
        "h2=warn",
    ]
    .into_iter()
    .filter_map(|directive| directive.parse().ok())
    .fold(asked, EnvFilter::add_directive)
}

fn serve() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(serve_stdio(Arc::new(AwsProvider::default())));
    // A read of stdin that still waits must not keep the process.
    runtime.shutdown_background();
    ended
}
