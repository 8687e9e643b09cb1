//! A host that is joined again in place, over a real sshd.

#![allow(missing_docs, unreachable_pub, reason = "a test's own output and helpers")]
#![allow(dead_code, reason = "helpers are shared with other suites")]

#[path = "../../../orchestrator/hosts/tests/ssh/sshd.rs"]
mod sshd;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_provider_kit::Provider as _;
use replank_provider_protocol::verbs::{
    CreateParams, Deletable, DeleteParams, FindParams, InitializeParams, ListParams, MachineParams,
    MachineSpec, Mutation, Progress,
};
use replank_provider_protocol::{
    Epoch, ErrorCode, Machine, MachineId, MachineState, NodeFacts, OperationId, ProviderError, Replacement,
    Role, RunId,
};
use replank_provider_ssh::SshProvider;
use serde_json::json;
use sshd::{Site, Sshd};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

struct Scene {
    site: Site,
    host: Sshd,
    provider: SshProvider,
}

async fn scene(test: &str) -> Option<Scene> {
    if let Some(reason) = sshd::missing() {
        replank_tests::skip(test, &reason);
        return None;
    }
    let site = Site::new();
    let host = site.host("w1");
    let provider = SshProvider::default();
    let settings = json!({
        "sshConfig": site.config(), "state": site.path("state"), "inPlace": true,
        "hosts": {"w1": {"address": "192.0.2.1"}},
        "commands": {
            // This host is a process: its network is this computer's, and must stay as it is.
            "reset": ["sh", "-c", "rm -rf /etc/cni/net.d /etc/kubernetes/*; echo x >>/root/cleaned"],
            // The test pulls the plug.
            "reboot": ["sh", "-c", "echo x >>/root/rebooted"],
        },
    });
    let greeting = InitializeParams { protocol_versions: vec![1], settings };
    let greeting = provider.initialize(greeting).await.expect("the settings are good");
    assert_eq!(greeting.capabilities.replacement, Replacement::InPlace);
    Some(Scene { site, host, provider })
}

fn mutation(operation: &str) -> Mutation {
    Mutation {
        operation: OperationId::new(operation),
        run: RunId::new("run-1"),
        cluster: "c".into(),
        epoch: Epoch(1),
    }
}

impl Scene {
    async fn create(&self, operation: &str, like: &str) -> Result<Machine, ProviderError> {
        let spec = MachineSpec {
            name: "w1".into(),
            role: Role::Worker,
            like: MachineId::new(like),
            labels: BTreeMap::new(),
        };
        let user_data = STANDARD.encode("#!/bin/sh\necho joined >>/root/joined\n");
        match self.provider.create(CreateParams { mutation: mutation(operation), spec, user_data }).await? {
            Progress::Done { value } => Ok(value),
            Progress::Pending { message } => panic!("{message}"),
        }
    }

    fn on_host(&self, path: &str) -> String {
        std::fs::read_to_string(self.host.on_disk(path)).unwrap_or_default()
    }

    async fn joined(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.host.on_disk("/var/lib/replank/bootstrap.status").exists() {
            assert!(Instant::now() < until, "the join does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_cleaned_and_rebooted_once_and_joined_again() {
    let Some(mut scene) = scene("a_host_is_cleaned_and_rebooted_once_and_joined_again").await else { return };
    let old = scene.host.on_disk("/etc/cni/net.d/10-calico.conflist");
    std::fs::create_dir_all(old.parent().expect("it has one")).expect("there is room");
    std::fs::write(&old, "calico").expect("there is room");
    let stop = MachineParams { mutation: mutation("stop"), machine: MachineId::new("w1") };
    scene.provider.stop(stop).await.expect("it stops");

    let not_yet = scene.create("join", "w1").await.expect_err("it reboots first");
    assert_eq!(not_yet.code, ErrorCode::Unavailable, "{not_yet}");
    assert!(!old.exists() && scene.on_host("/root/joined").is_empty());
    // Seen by whoever looks for what a run has made, though the run was killed here.
    let list = ListParams { run: Some(RunId::new("run-1")), cluster: "c".into() };
    let listed = scene.provider.list(list).await.expect("it lists").machines;
    assert_eq!(listed.len(), 1, "{listed:?}");

    scene.host.stop();
    scene.host.start();
    let machine = scene.create("join", "w1").await.expect("it is up again");
    scene.joined().await;
    assert_eq!((machine.name.as_str(), machine.run.clone()), ("w1", Some(RunId::new("run-1"))));
    assert_ne!(machine.id.as_str(), "w1", "it is another machine");
    let again = scene.create("join", "w1").await.expect("it is known");
    assert_eq!(again.id, machine.id);
    for (what, path) in [("cleaned", "/root/cleaned"), ("joined", "/root/joined")] {
        assert_eq!(scene.on_host(path).lines().count(), 1, "it was {what} more than once");
    }

    let node = NodeFacts {
        name: "w1".into(),
        provider_id: None,
        system_uuid: machine.system_uuid.clone(),
        addresses: Vec::new(),
    };
    let found = scene.provider.find(FindParams { node }).await.expect("it is a node's machine").machine;
    assert_eq!((found.id, found.state), (machine.id, MachineState::Running));
}

/// sshd may answer before the container runtime does; and what a host was stopped for is over.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_joins_before_a_host_has_booted_and_its_kubelet_is_enabled_again() {
    let test = "nothing_joins_before_a_host_has_booted_and_its_kubelet_is_enabled_again";
    let Some(mut scene) = scene(test).await else { return };
    let systemctl = scene.host.on_disk("/root/bin/systemctl");
    std::fs::create_dir_all(scene.host.on_disk("/root/bin")).expect("there is room");
    let script = "#!/bin/sh\necho \"$@\" >>/root/asked\n[ $1 != is-system-running ] || cat /root/state\n";
    std::fs::write(&systemctl, script).expect("there is room");
    std::fs::set_permissions(&systemctl, PermissionsExt::from_mode(0o755)).expect("it is ours");
    std::fs::write(scene.host.on_disk("/root/state"), "starting\n").expect("there is room");
    scene.create("join", "w1").await.expect_err("it reboots first");
    scene.host.stop();
    scene.host.start();

    let starts = scene.create("join", "w1").await.expect_err("it still boots");
    assert_eq!(starts.code, ErrorCode::Unavailable, "{starts}");
    assert!(starts.message.contains("starts its services"), "{starts}");
    assert_eq!(scene.on_host("/root/joined"), "");
    // Something else on it has failed: that is no reason to wait for ever.
    std::fs::write(scene.host.on_disk("/root/state"), "degraded\n").expect("there is room");
    scene.create("join", "w1").await.expect("it has booted");
    scene.joined().await;
    assert_eq!(scene.on_host("/root/joined"), "joined\n");
    let asked = scene.on_host("/root/asked");
    assert!(asked.lines().any(|line| line == "enable kubelet"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_failed_is_given_up_and_begun_anew() {
    let Some(mut scene) = scene("a_join_that_failed_is_given_up_and_begun_anew").await else { return };
    scene.create("first", "w1").await.expect_err("it reboots first");
    scene.host.stop();
    scene.host.start();
    let failed = scene.create("first", "w1").await.expect("it is up again").id;
    scene.joined().await;
    let target = Deletable::Machine(failed.clone());
    scene.provider.delete(DeleteParams { mutation: mutation("give-up"), target }).await.expect("it goes");

    scene.create("second", "w1").await.expect_err("it reboots first");
    scene.host.stop();
    scene.host.start();
    let second = scene.create("second", "w1").await.expect("it is up again");
    assert_ne!(second.id, failed);
    let gone = scene.create("first", "w1").await.expect_err("it is another machine by now");
    assert!(matches!(gone.code, ErrorCode::NotFound | ErrorCode::AlreadyExists), "{gone}");
}

#[tokio::test]
async fn spares_and_in_place_exclude_each_other() {
    let settings = json!({"inPlace": true, "hosts": {"a": {}}, "spares": {"b": {}}});
    let greeting = InitializeParams { protocol_versions: vec![1], settings };
    let refused = SshProvider::default().initialize(greeting).await.expect_err("one of them is a mistake");
    assert!(refused.message.contains("leave one of them out"), "{refused}");
}
