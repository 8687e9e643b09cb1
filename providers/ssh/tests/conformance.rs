//! The conformance suite against this provider, over real sshds.

#![allow(clippy::print_stderr, missing_docs, unreachable_pub, reason = "a test's own output and helpers")]
#![allow(dead_code, reason = "helpers are shared with other suites")]

#[path = "../../../orchestrator/hosts/tests/ssh/sshd.rs"]
mod sshd;

use replank_provider_kit::conformance::{Options, Outcome, Report, Subject, check};
use serde_json::json;
use sshd::{Site, Sshd};

/// As many spares as the longest list of a case, and one more.
const SPARES: usize = 4;

fn shown(report: &Report) -> String {
    let bad = report.cases.iter().filter(|c| c.result != Outcome::Passed);
    bad.map(|c| format!("{} {}: {}", c.result.word(), c.name, c.reason)).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_keeps_every_rule() {
    if let Some(reason) = sshd::missing() {
        return sshd::skip("the_provider_keeps_every_rule", &reason);
    }
    let site = Site::new();
    let _node = site.host("node-1");
    let spares: Vec<Sshd> = (0..SPARES).map(|n| site.host(&format!("spare-{n}"))).collect();
    let settings = json!({
        "sshConfig": site.config(),
        "state": site.path("state"),
        "hosts": {"node-1": {"address": "192.0.2.1"}},
        "spares": spares.iter().map(|s| (s.name.clone(), json!({}))).collect::<serde_json::Map<_, _>>(),
        // These hosts are processes: their network is this computer's, and must stay as it is.
        "commands": {"reset": ["sh", "-c", "rm -rf /root/* /root/.[!.]*"]},
    });
    let subject = Subject::Plugin {
        name: "ssh".into(),
        path: env!("CARGO_BIN_EXE_replank-provider-ssh").into(),
        settings,
    };
    let options = Options { destructive: true, many: SPARES - 1, ..Options::default() };
    let report = check(&subject, &options, |_| {}).await;
    eprintln!("{} passed; others:\n{}", report.summary.passed, shown(&report));
    assert_eq!(report.summary.failed, 0, "{}", shown(&report));
    assert!(report.summary.passed > 80, "{}", shown(&report));
}
