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
    for action in [
        "ec2:RunInstances",
        "ec2:CreateTags",
        "ec2:DescribeTags",
        "ec2:StopInstances",
        "ec2:TerminateInstances",
        "ec2:ModifyInstanceAttribute",
        "ec2:CreateSnapshots",
        "ec2:DeleteSnapshot",
        "ec2:CreateVolume",
        "ec2:DetachVolume",
        "autoscaling:DescribeAutoScalingInstances",
    ] {
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

#[tokio::test]
async fn a_port_that_is_closed_between_nodes_is_said_and_opened_if_asked() {
    let site = Site::new(Pace::default()).await;
    site.fake.world().groups.get_mut("sg-0nodes").expect("the group").ingress.clear();
    let provider = site.provider(&json!({})).await;
    let refused = provider.validate(site.spec("worker-1-new")).await.expect_err("it is closed");
    assert_eq!(refused.code, ErrorCode::Invalid);
    assert!(refused.message.contains("UDP 8472 from sg-0nodes to sg-0nodes (ingress"), "{}", refused.message);
    let refused = provider.create(site.create("worker-1-new")).await.expect_err("it is closed");
    assert_eq!(refused.code, ErrorCode::Invalid);
    assert_eq!(site.fake.world().alive().len(), 1);
    let open = site.provider(&json!({"vxlan": {"firewall": "open"}})).await;
    open.validate(site.spec("worker-1-new")).await.expect("it can be opened");
    assert!(site.fake.world().groups["sg-0nodes"].ingress.is_empty(), "a dry run has opened it");
    site.running(&open, "worker-1-new").await;
    let rule = site.fake.world().groups["sg-0nodes"].ingress.clone();
    assert_eq!(rule.len(), 1);
    assert_eq!((rule[0].protocol.as_str(), rule[0].ports), ("udp", Some((8472, 8472))));
    assert_eq!(rule[0].groups, ["sg-0nodes"]);
    site.running(&provider, "worker-2-new").await;
}

#[tokio::test]
async fn a_range_that_holds_every_subnet_is_as_good_as_a_group_and_another_port_is_not() {
    use replank_ec2_fake::world::Rule;
    let site = Site::new(Pace::default()).await;
    let udp = |ports, range: &str| Rule {
        protocol: "udp".into(),
        ports: Some(ports),
        ranges: vec![range.into()],
        ..Rule::default()
    };
    let provider = site.provider(&json!({"subnets": ["subnet-0a2"]})).await;
    for (rule, opens) in [
        (udp((0, 65535), "10.0.0.0/16"), true),
        (udp((8472, 8472), "10.0.0.0/24"), false),
        (udp((4789, 4789), "10.0.0.0/16"), false),
    ] {
        site.fake.world().groups.get_mut("sg-0nodes").expect("the group").ingress = vec![rule.clone()];
        let validated = provider.validate(site.spec("worker-1-new")).await;
        assert_eq!(validated.is_ok(), opens, "{rule:?}: {validated:?}");
    }
}

#[tokio::test]
async fn other_nodes_that_new_ones_must_reach_are_looked_at_in_both_directions() {
    use replank_ec2_fake::world::{Rule, SecurityGroup};
    let site = Site::new(Pace::default()).await;
    let out = Rule { protocol: "-1".into(), ranges: vec!["0.0.0.0/0".into()], ..Rule::default() };
    let cp = SecurityGroup { vpc: "vpc-0".into(), ingress: Vec::new(), egress: vec![out] };
    site.fake.world().groups.insert("sg-1cp".into(), cp);
    let provider = site.provider(&json!({"vxlan": {"peers": ["sg-1cp"]}})).await;
    let refused = provider.validate(site.spec("worker-1-new")).await.expect_err("they are closed");
    assert!(refused.message.contains("from sg-1cp to sg-0nodes"), "{}", refused.message);
    assert!(refused.message.contains("from sg-0nodes to sg-1cp"), "{}", refused.message);
}
