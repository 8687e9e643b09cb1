//! What is missing is said before anything is done.

use crate::support::Site;
use replank_ec2_fake::Pace;
use replank_provider_kit::Provider as _;
use replank_provider_protocol::ErrorCode;
use serde_json::json;

#[tokio::test]
async fn a_missing_permission_is_named_before_anything_is_done() {
    let site = Site::new(Pace::default()).await;
    let provider = site.provider(&json!({})).await;
    provider.validate(site.spec("worker-1-new")).await.expect("everything is allowed");
    for action in ["ec2:RunInstances", "ec2:CreateTags", "ec2:StopInstances", "ec2:TerminateInstances"] {
        let site = Site::new(Pace::default()).await;
        let provider = site.provider(&json!({})).await;
        site.fake.world().faults.deny(action);
        let refused = provider.validate(site.spec("worker-1-new")).await.expect_err(action);
        assert_eq!(refused.code, ErrorCode::Denied);
        assert!(
            refused.message.contains(&format!("the IAM action {action} is missing")),
            "{}",
            refused.message
        );
        assert_eq!(site.fake.world().alive().len(), 1, "a dry run has made something");
    }
}

#[tokio::test]
async fn all_that_is_missing_is_said_at_once() {
    let site = Site::new(Pace::default()).await;
    let provider = site.provider(&json!({})).await;
    site.fake.world().faults.deny("ec2:StopInstances");
    site.fake.world().faults.deny("ec2:StartInstances");
    let refused = provider.validate(site.spec("worker-1-new")).await.expect_err("both are missing");
    assert!(refused.message.contains("ec2:StopInstances"), "{}", refused.message);
    assert!(refused.message.contains("ec2:StartInstances"), "{}", refused.message);
}

#[tokio::test]
async fn an_endpoint_that_ignores_dry_runs_is_not_asked_for_a_stop() {
    let site = Site::new(Pace::default()).await;
    site.fake.world().knows_dry_runs = false;
    let provider = site.provider(&json!({})).await;
    let refused = provider.validate(site.spec("worker-1-new")).await.expect_err("it is no EC2");
    assert_eq!(refused.code, ErrorCode::Internal);
    let world = site.fake.world();
    assert_eq!((world.called("RunInstances"), world.called("StopInstances")), (0, 0));
}

#[tokio::test]
async fn settings_that_make_no_sense_are_named() {
    use replank_provider_protocol::verbs::InitializeParams;
    let site = Site::new(Pace::default()).await;
    for (more, named) in [
        (json!({"regoin": "x"}), "regoin"),
        (json!({"launchTemplate": {}}), "launchTemplate"),
        (json!({"image": {"newest": {"owners": [], "name": "*"}}}), "image.newest.owners"),
        (json!({"tags": {"replank.dev/run": "x"}}), "replank.dev/run"),
        (json!({"configFile": "/nowhere"}), "configFile"),
    ] {
        let params = InitializeParams { protocol_versions: vec![1], settings: site.settings(&more) };
        let refused = replank_provider_aws::AwsProvider::default().initialize(params).await.expect_err(named);
        assert_eq!(refused.code, ErrorCode::Invalid);
        assert!(refused.message.contains(named), "{}", refused.message);
    }
}
