//! The conformance suite against this provider as a plugin of its own.

use crate::support::Site;
use replank_ec2_fake::Pace;
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
        let for_others = name.contains("is_invalid_") || name.ends_with("by_system_uuid");
        let hosts = group == "hosts" || name.contains("host");
        let todo = name.contains("snapshot")
            || name.contains("restore")
            || name.contains("balancer")
            || name.contains("deregister");
        assert!(for_others || hosts || todo, "{name} was skipped");
    }
    assert_eq!(site.fake.world().alive().len(), 1, "only the node is left");
}
