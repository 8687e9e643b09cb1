//! The conformance suite against this provider, over real sshds.

#![allow(clippy::print_stderr, missing_docs, unreachable_pub, reason = "a test's own output and helpers")]
#![allow(dead_code, reason = "helpers are shared with other suites")]

#[path = "../../../orchestrator/hosts/tests/ssh/sshd.rs"]
mod sshd;

use replank_provider_kit::conformance::{Options, Outcome, Report, Subject, check};
use replank_provider_protocol::MachineId;
use serde_json::json;
use sshd::{Site, Sshd};
use std::sync::mpsc::RecvTimeoutError;

/// As many spares as the longest list of a case, and one more.
const SPARES: usize = 4;

fn shown(report: &Report) -> String {
    let bad = report.cases.iter().filter(|c| c.result != Outcome::Passed);
    bad.map(|c| format!("{} {}: {}", c.result.word(), c.name, c.reason)).collect::<Vec<_>>().join("\n")
}

/// Reboots a host whenever it asks for it, for as long as this lives.
struct Plug {
    done: std::sync::mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Plug {
    const ASKED: &'static str = "/root/asked-to-reboot";

    fn of(mut host: Sshd) -> Self {
        let (done, over) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            while over.recv_timeout(std::time::Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                if std::fs::remove_file(host.on_disk(Self::ASKED)).is_ok() {
                    host.stop();
                    host.start();
                }
            }
        });
        Self { done, thread: Some(thread) }
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        let _ = self.done.send(());
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_joined_again_keeps_its_rules() {
    if let Some(reason) = sshd::missing() {
        return replank_tests::skip("a_host_that_is_joined_again_keeps_its_rules", &reason);
    }
    let site = Site::new();
    let _plug = Plug::of(site.host("node-1"));
    let settings = json!({
        "sshConfig": site.config(), "state": site.path("state"), "inPlace": true,
        "hosts": {"node-1": {"address": "192.0.2.1"}},
        // This host is a process: its network is this computer's, and must stay as it is.
        "commands": {"reset": ["true"], "reboot": ["touch", Plug::ASKED]},
    });
    let subject = Subject::Plugin {
        name: "ssh".into(),
        path: env!("CARGO_BIN_EXE_replank-provider-ssh").into(),
        settings,
    };
    let like = Some(MachineId::new("node-1"));
    let report = check(&subject, &Options { destructive: true, like, ..Options::default() }, |_| {}).await;
    assert_eq!(report.summary.failed, 0, "{}", shown(&report));
    let rejoined = report.with(Outcome::Passed).filter(|c| c.name.starts_with("in_place/"));
    assert_eq!(rejoined.count(), 6, "{}", shown(&report));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_keeps_every_rule() {
    if let Some(reason) = sshd::missing() {
        return replank_tests::skip("the_provider_keeps_every_rule", &reason);
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
