//! A libvirtd in the lab's network, its guests on a network of its own beside the lab's machines, and the provider as
//! the plugin that replank starts.

use crate::program::path_of;
use crate::site::{Site, old_node};
use crate::stage::Stage;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_lab::build::vm::{Image, KERNEL_ARGUMENTS};
use replank_provider_kit::{PluginProvider, Provider as _};
use replank_provider_protocol::verbs::{
    CreateParams, Deletable, DeleteParams, GetParams, ListParams, Listing, MachineParams, MachineSpec,
    Mutation, Progress,
};
use replank_provider_protocol::{Epoch, Machine, MachineId, ProviderError, Role};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// The guests' network, which routes lead to: the lab's machines have their gateway in common. Nothing of libvirt's
/// changes packets on the way, and nobody there answers for names.
const NETWORK: &str = "<network><name>guests</name><forward mode='open'/><bridge name='guests' stp='off' delay='0'/>\
    <dns enable='no'/><ip address='10.201.0.1' netmask='255.255.255.0'>\
    <dhcp><range start='10.201.0.100' end='10.201.0.199'/></dhcp></ip></network>";

/// What a guest is given, in MiB.
const MEMORY: u32 = 1536;

/// How long an operation may take on a busy machine: a guest that shuts down is the longest of them.
const OPERATION: Duration = Duration::from_secs(150);
/// How long a program in a guest may take.
const GUEST: Duration = Duration::from_secs(120);

/// A libvirtd, and the provider over it. All of it ends when this is dropped.
pub(crate) struct Hypervisor {
    provider: PluginProvider,
    site: Site,
    old: MachineId,
}

/// What a program in a guest came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i64,
    pub(crate) said: String,
}

impl Hypervisor {
    /// Starts libvirtd and the provider. The old node, whose place the new ones take, was never on.
    pub(crate) async fn start(stage: &Stage, image: &Image) -> Self {
        let init = std::fs::read_to_string(stage.cluster.lab().place().join("run/init.pid"));
        let network = format!("--net=/proc/{}/ns/net", init.expect("the lab is up").trim());
        let mut within = Command::new("setpriv");
        within.args(["--pdeathsig", "KILL", "nsenter", &network, "--"]);
        let site = Site::within(within);
        let file = site.path("network.xml");
        std::fs::write(&file, NETWORK).expect("there is room");
        site.virsh(&["net-create", &file.display().to_string()]);
        // A copy: the cache's own must stay as it is, whatever goes wrong here.
        std::fs::copy(&image.disk, site.path("pool/image")).expect("there is room");
        site.virsh(&["pool-refresh", "pool"]);
        site.virsh(&["vol-create-as", "pool", "old", "1M", "--format", "qcow2"]);
        let interface =
            "<interface type='network'><source network='guests'/><model type='virtio'/></interface>";
        let old = MachineId::new(site.define(&old_node("old", &site.path("pool/old"), "qcow2", interface)));
        let settings = site.settings(json!({
            // Without AVX, which takes long to emulate.
            "processor": "Nehalem", "vcpus": 2, "memoryMiB": MEMORY, "graceSeconds": 120,
            "kernel": {"path": image.kernel, "initrd": image.initrd, "arguments": KERNEL_ARGUMENTS},
        }));
        let plugin = plugin(&site, &network);
        let provider = PluginProvider::start("libvirt", plugin, settings).await;
        let provider = provider.unwrap_or_else(|error| panic!("{error}"));
        Self { provider, site, old }
    }

    pub(crate) fn provider(&self) -> &PluginProvider {
        &self.provider
    }

    fn mutation(operation: &str) -> Mutation {
        let (operation, run, cluster) = (operation.into(), "run-1".into(), "cluster-1".into());
        Mutation { operation, run, cluster, epoch: Epoch(1) }
    }

    pub(crate) async fn create(&self, name: &str, user_data: &[u8]) -> Machine {
        let labels = BTreeMap::new();
        let spec = MachineSpec { name: name.into(), role: Role::Worker, like: self.old.clone(), labels };
        let user_data = STANDARD.encode(user_data);
        let params = CreateParams { mutation: Self::mutation("create"), spec, user_data };
        until_done("create", || self.provider.create(params.clone())).await
    }

    pub(crate) async fn get(&self, machine: &MachineId) -> Machine {
        let got = self.provider.get(GetParams { machine: machine.clone() }).await;
        got.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn console(&self, machine: &MachineId) -> String {
        let log = self.provider.console_log(GetParams { machine: machine.clone() }).await;
        log.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn stop(&self, machine: &MachineId) -> Machine {
        let params = MachineParams { mutation: Self::mutation("stop"), machine: machine.clone() };
        until_done("stop", || self.provider.stop(params.clone())).await
    }

    pub(crate) async fn start_again(&self, machine: &MachineId) -> Machine {
        let params = MachineParams { mutation: Self::mutation("start"), machine: machine.clone() };
        until_done("start", || self.provider.start(params.clone())).await
    }

    pub(crate) async fn delete(&self, machine: &MachineId) {
        let target = Deletable::Machine(machine.clone());
        let params = DeleteParams { mutation: Self::mutation("delete"), target };
        until_done("delete", || self.provider.delete(params.clone())).await;
    }

    pub(crate) async fn list(&self) -> Listing {
        let params = ListParams { cluster: "cluster-1".into(), run: None };
        self.provider.list(params).await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn virsh(&self, words: &[&str]) -> String {
        self.site.virsh(words)
    }

    /// The volumes of machines, without the image, the old node's, and what keeps the epochs.
    pub(crate) fn volumes(&self) -> Vec<String> {
        self.site.virsh(&["pool-refresh", "pool"]);
        let list = self.site.virsh(&["vol-list", "--pool", "pool"]);
        let names = list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
        names.filter(|name| name != "image" && name != "old" && !name.starts_with("replank-epoch-")).collect()
    }

    /// Whether a guest's agent is there.
    pub(crate) fn agent_answers(&self, machine: &MachineId) -> bool {
        let mut virsh = Command::new("virsh");
        virsh.args(["--quiet", "--connect", &self.site.uri(), "qemu-agent-command", "--timeout", "5"]);
        virsh.args([machine.as_str(), r#"{"execute":"guest-ping"}"#]);
        virsh.output().expect("virsh starts").status.success()
    }

    /// Runs a program in a guest, by its agent.
    pub(crate) async fn run(&self, machine: &MachineId, script: &str) -> Ran {
        let ask = |command: Value| {
            let said = self.virsh(&["qemu-agent-command", machine.as_str(), &command.to_string()]);
            let answer: Value = serde_json::from_str(&said).expect("the agent answers in JSON");
            answer["return"].clone()
        };
        let words = json!({"path": "/bin/sh", "arg": ["-c", script], "capture-output": true});
        let started = ask(json!({"execute": "guest-exec", "arguments": words}));
        let until = Instant::now() + GUEST;
        loop {
            let status = ask(json!({"execute": "guest-exec-status", "arguments": {"pid": started["pid"]}}));
            if status["exited"] == true {
                let text = |key: &str| {
                    let bytes = STANDARD.decode(status[key].as_str().unwrap_or_default());
                    String::from_utf8_lossy(&bytes.expect("the agent writes base64")).into_owned()
                };
                let said = text("out-data") + &text("err-data");
                return Ran { status: status["exitcode"].as_i64().unwrap_or(-1), said };
            }
            assert!(Instant::now() < until, "{script}: not within {GUEST:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// A program that starts the provider in the lab's network: it knocks at the guests' doors.
fn plugin(site: &Site, network: &str) -> std::path::PathBuf {
    let path = site.path("replank-provider-libvirt");
    let provider = path_of("replank-provider-libvirt");
    let script = format!("#!/bin/sh\nexec nsenter {network} -- {}\n", provider.display());
    std::fs::write(&path, script).expect("there is room");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

async fn until_done<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<Progress<T>, ProviderError>>,
{
    let until = Instant::now() + OPERATION;
    loop {
        match ask().await.unwrap_or_else(|error| panic!("{what}: {error}")) {
            Progress::Done { value } => return value,
            Progress::Pending { message } => {
                assert!(Instant::now() < until, "{what} is pending still: {message}");
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
