//! EC2 instances as a plugin: calls on stdin, answers on stdout.

use replank_provider_aws::AwsProvider;
use replank_provider_kit::server;
use std::process::ExitCode;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    server::main(Arc::new(AwsProvider::default()), filter())
}

/// What is logged. The SDK's own account of requests holds user-data, and with it a join token: it stays off
/// whatever is asked for.
fn filter() -> EnvFilter {
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
    .fold(server::asked(), EnvFilter::add_directive)
}
