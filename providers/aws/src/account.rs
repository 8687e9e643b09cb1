//! One AWS account and region: how it is reached, and how long a call may last.

use crate::settings::Settings;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use std::time::Duration;

/// How long one call may last with all that is tried again within it: a verb, which makes a few of them, has 30 s.
const CALL: Duration = Duration::from_secs(12);

/// How long one attempt may last.
const ATTEMPT: Duration = Duration::from_secs(6);

/// How often a call is tried that was throttled or lost. The SDK waits longer each time and slows all calls
/// down as long as AWS says that there are too many.
const ATTEMPTS: u32 = 5;

/// The services.
#[derive(Clone, Debug)]
pub struct Account {
    /// Machines, volumes, snapshots and networks.
    pub ec2: aws_sdk_ec2::Client,
    /// Where it is.
    pub region: String,
}

impl Account {
    /// Reads the AWS configuration. Asks nobody unless it names a credential process or a metadata service.
    ///
    /// # Errors
    /// A sentence: no region, or an unreadable configuration.
    pub async fn open(settings: &Settings) -> Result<Self, String> {
        let timeouts =
            TimeoutConfig::builder().operation_timeout(CALL).operation_attempt_timeout(ATTEMPT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(RetryConfig::adaptive().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts);
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(path) = &settings.config_file {
            std::fs::metadata(path)
                .map_err(|e| format!("provider.settings: `configFile` {}: {e}", path.display()))?;
            let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Config, path).build();
            loader = loader.profile_files(files);
        }
        let config = loader.load().await;
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err("provider.settings: `region` is not set, and the AWS configuration has none".into());
        };
        Ok(Self { ec2: aws_sdk_ec2::Client::new(&config), region })
    }
}
