//! One AWS account and region: how it is reached, and how long a call may last.

use crate::refusal::CAPACITY;
use crate::settings::Settings;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_ec2::config::interceptors::InterceptorContext;
use aws_sdk_ec2::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_ec2::error::ProvideErrorMetadata as _;
use aws_sdk_ec2::operation::run_instances::RunInstancesError;
use aws_sdk_ec2::operation::start_instances::StartInstancesError;
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
    /// The same, asked once: for what would be done twice if it were asked again.
    pub ec2_once: aws_sdk_ec2::Client,
    /// Groups that keep up a number of machines.
    pub autoscaling: aws_sdk_autoscaling::Client,
    /// The same, asked once: what is asked again of a group that has done it is refused.
    pub autoscaling_once: aws_sdk_autoscaling::Client,
    /// Network and application load balancers.
    pub target_groups: aws_sdk_elasticloadbalancingv2::Client,
    /// Classic load balancers.
    pub classic: aws_sdk_elasticloadbalancing::Client,
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
        let once = config.to_builder().retry_config(RetryConfig::disabled()).build();
        Ok(Self {
            ec2: ec2(&config),
            ec2_once: ec2(&once),
            autoscaling: aws_sdk_autoscaling::Client::new(&config),
            autoscaling_once: aws_sdk_autoscaling::Client::new(&once),
            target_groups: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            classic: aws_sdk_elasticloadbalancing::Client::new(&config),
            region,
        })
    }
}

fn ec2(config: &SdkConfig) -> aws_sdk_ec2::Client {
    let config = aws_sdk_ec2::config::Builder::from(config).retry_classifier(NoRoom).build();
    aws_sdk_ec2::Client::from_conf(config)
}

/// EC2 answers a lack of room as if it were a defect of its own, which the SDK would ask about again and again:
/// another place is to be asked for instead.
#[derive(Debug)]
struct NoRoom;

impl ClassifyRetry for NoRoom {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error =
            context.output_or_error().and_then(Result::err).and_then(|error| error.as_operation_error());
        let code = error.and_then(|error| {
            let made = error.downcast_ref::<RunInstancesError>().and_then(|error| error.code());
            made.or_else(|| error.downcast_ref::<StartInstancesError>().and_then(|error| error.code()))
        });
        match code {
            Some(code) if CAPACITY.contains(&code) => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "no room"
    }
}
