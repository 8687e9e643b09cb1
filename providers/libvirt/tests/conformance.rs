//! The conformance suite against this provider, over a real libvirtd and QEMU.

#![allow(
    clippy::print_stderr,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a test's own output and helpers"
)]

mod site;

use replank_provider_kit::conformance::{Options, Outcome, Report, Subject, check};
use serde_json::json;
use site::Site;

/// What libvirt can't do, and so is left out: nothing else may be.
const CAN_NOT: [&str; 3] = ["capability hosts", "capability loadBalancer", "carries no provider id"];

fn shown(report: &Report) -> String {
    let bad = report.cases.iter().filter(|c| c.result != Outcome::Passed);
    bad.map(|c| format!("{} {}: {}", c.result.word(), c.name, c.reason)).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_keeps_every_rule() {
    if let Some(reason) = site::missing() {
        return replank_tests::skip("the_provider_keeps_every_rule", &reason);
    }
    let site = Site::new();
    // All that these cases need of a guest is that it runs.
    site.image_that_halts();
    site.virsh(&["vol-create-as", "pool", "node-1", "1M", "--format", "qcow2"]);
    site.define(&site::old_node("node-1", &site.path("pool/node-1"), "qcow2", ""));
    let subject = Subject::Plugin {
        name: "libvirt".into(),
        path: env!("CARGO_BIN_EXE_replank-provider-libvirt").into(),
        // Nobody in the guest hears that it shall end.
        settings: site.settings(json!({"graceSeconds": 0, "imageFormat": "raw"})),
    };
    let options = Options { destructive: true, many: 4, ..Options::default() };
    let begun = std::time::Instant::now();
    let report = check(&subject, &options, |case| {
        eprintln!(
            "{:6.1} {} {} {}",
            begun.elapsed().as_secs_f64(),
            case.result.word(),
            case.name,
            case.reason
        );
    })
    .await;
    assert_eq!(report.summary.failed, 0, "{}", shown(&report));
    let skipped = report.with(Outcome::Skipped).filter(|c| !CAN_NOT.iter().any(|why| c.reason.contains(why)));
    let skipped: Vec<_> = skipped.filter(|c| !c.reason.contains("the case is for")).collect();
    assert!(skipped.is_empty(), "{skipped:?}");
    let left = site.virsh(&["vol-list", "--pool", "pool"]);
    assert!(!left.contains("-disk") && !left.contains("-seed"), "volumes are left over: {left}");
    assert!(report.summary.passed > 100, "{}", shown(&report));
}
