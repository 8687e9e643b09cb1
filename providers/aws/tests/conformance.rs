//! The conformance suite against this provider as a plugin of its own.

use crate::support::Site;
use replank_ec2_fake::Pace;
use replank_ec2_fake::balancers::TargetGroup;
use replank_provider_kit::conformance::{Options, Outcome, Report, Subject, check};
use serde_json::json;
use std::time::{Duration, Instant};

fn shown(report: &Report) -> String {
    let bad = report.cases.iter().filter(|c| c.result != Outcome::Passed);
    bad.map(|c| format!("{} {}: {}", c.result.word(), c.name, c.reason)).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_keeps_every_rule() {
    let site = Site::new(Pace::default()).await;
    // What is made like the node is to be in its load balancer too.
    let mut group = TargetGroup { kind: "instance", port: 6443, ..TargetGroup::default() };
    group.targets.insert((site.node.to_string(), 6443), None);
    site.fake.world().target_groups.insert("api".into(), group);
    let subject = Subject::Plugin {
        name: "aws".into(),
        path: env!("CARGO_BIN_EXE_replank-provider-aws").into(),
        settings: site.settings(&json!({})),
    };
    let patience = Duration::from_secs(30);
    let options = Options { destructive: true, patience, ..Options::default() };
    let begun = Instant::now();
    let report = check(&subject, &options, |_| {}).await;
    eprintln!("{} passed in {:?}; others:\n{}", report.summary.passed, begun.elapsed(), shown(&report));
    assert_eq!(report.summary.failed, 0, "{}", shown(&report));
    let skipped: Vec<_> = report.with(Outcome::Skipped).map(|c| c.name.as_str()).collect();
    for name in skipped {
        let group = name.split('/').next().unwrap_or_default();
        let for_others =
            group == "in_place" || name.contains("is_invalid_") || name.ends_with("by_system_uuid");
        let hosts =
            group == "hosts" || name.contains("host") || name.ends_with("restore_brings_the_disk_back");
        assert!(for_others || hosts, "{name} was skipped");
    }
    assert_eq!(site.fake.world().alive().len(), 1, "only the node is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loudest_log_does_not_hold_the_user_data() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new(Pace::default()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("replank-provider-aws");
    let script =
        format!("#!/bin/sh\nREPLANK_LOG=trace exec {}\n", env!("CARGO_BIN_EXE_replank-provider-aws"));
    std::fs::write(&path, script).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
    let subject = Subject::Plugin { name: "aws".into(), path, settings: site.settings(&json!({})) };
    let only = vec!["wire/user_data_is_not_told".to_owned(), "wire/the_end_of_its_input".to_owned()];
    let options = Options { destructive: true, only, ..Options::default() };
    let report = check(&subject, &options, |_| {}).await;
    assert_eq!((report.summary.passed, report.summary.failed), (2, 0), "{}", shown(&report));
}
