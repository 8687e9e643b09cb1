//! A virtual machine that the provider for libvirt makes from our user-data becomes a node of the lab's cluster, by
//! nothing but that user-data.

use crate::hypervisor::{Hypervisor, Ran};
use crate::stage::{Stage, say};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_cloud_init::join::{JOIN_FILE, LACKS_FILE};
use replank_cloud_init::{CgroupDriver, Families, Join, KubeletArguments, Requirement, Secret, UserData};
use replank_execution::steps::create_machine::authority;
use replank_lab::build;
use replank_lab::build::images::WEB;
use replank_lab::build::programs::KUBERNETES;
use replank_lab::build::report::Progress;
use replank_lab::build::vm::Image;
use replank_lab::cluster::{Cni, Shape};
use replank_lab::error::LabError;
use replank_lab::machine::network::GATEWAY;
use replank_planning::node_image::{LACKS, REQUIREMENTS};
use replank_provider_kit::Provider as _;
use replank_provider_protocol::verbs::FindParams;
use replank_provider_protocol::{MachineId, MachineState, NodeFacts};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::{Duration, Instant};

const TEST: &str = "a_virtual_machine_becomes_a_node_is_kept_and_comes_back";

/// The machine's name, and its Node's.
const NAME: &str = "vm-1";

/// The lab's machine that is the cluster's one control plane.
const LAB: &str = "cp1";

/// Asks for an address as a client of another name, and leaves it unused. Libvirt lists the lease that was renewed last as
/// the last.
const DEAD_LEASE: &str = "interface=$(ip -o route get 10.200.0.1 | sed 's/.* dev \\([^ ]*\\).*/\\1/') && \
    busybox udhcpc -i $interface -f -n -q -s /bin/true -x 0x3d:00646561646c65617365 && networkctl renew $interface";

/// How long a guest may take from its start to a ready Node, and a pod of it to an answer: on a busy computer without
/// hardware virtualisation.
const READY: Duration = Duration::from_secs(420);
/// Between two looks at the API with kubectl.
const LOOK: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
#[ignore = "run by `cargo xtask test providers --full`"]
async fn a_virtual_machine_becomes_a_node_is_kept_and_comes_back() {
    let Some(image) = image() else { return };
    let stage = Stage::with("vm", Shape { control_planes: 1, workers: 0, cni: Cni::Flannel });
    let hypervisor = Hypervisor::start(&stage, &image).await;
    let guest = Guest::create(&stage, &hypervisor).await;

    guest.is_the_node_that_it_made().await;
    guest.told_nobody_a_secret().await;
    guest.pods_reach_the_labs_and_are_reached().await;
    guest.has_the_address_that_answers_and_no_dead_one().await;
    guest.is_kept_when_it_is_off().await;
    guest.comes_back_as_the_same_node().await;
    guest.its_pod_comes_back_and_answers().await;
    guest.leaves_nothing().await;
}

/// The image; none where there can be no virtual machines, which is told.
fn image() -> Option<Image> {
    let mut listener = say;
    let mut progress = Progress::new(&mut listener);
    let built = build::build(&mut progress).unwrap_or_else(|error| panic!("{error}"));
    match build::vm::build(&built, &mut progress) {
        Ok(image) => match crate::site::missing() {
            None => Some(image),
            Some(reason) => skipped(&reason),
        },
        Err(LabError::Missing(why)) => skipped(&why.join("; ")),
        Err(error) => panic!("{error}"),
    }
}

fn skipped(reason: &str) -> Option<Image> {
    replank_tests::skip(TEST, reason);
    None
}

/// A machine of the provider's, from its order to its end.
struct Guest<'a> {
    stage: &'a Stage,
    hypervisor: &'a Hypervisor,
    id: MachineId,
    token: Secret,
    /// The boot in which its Node became ready first.
    first_boot: String,
}

impl<'a> Guest<'a> {
    /// Orders a machine, and waits until its Node is ready.
    async fn create(stage: &'a Stage, hypervisor: &'a Hypervisor) -> Self {
        let token = Secret::new(token(stage));
        let user_data = user_data(stage, token.clone());
        let began = Instant::now();
        let machine = hypervisor.create(NAME, &user_data).await;
        assert_eq!((machine.state, machine.name.as_str()), (MachineState::Running, NAME));
        say(&format!("{TEST}: made and started after {:.0} s", began.elapsed().as_secs_f64()));
        let new = Self { stage, hypervisor, id: machine.id, token, first_boot: String::new() };
        let node = new.ready("").await;
        say(&format!("{TEST}: a ready Node {:.0} s after its order", began.elapsed().as_secs_f64()));
        Self { first_boot: boot(&node), ..new }
    }

    /// Its Node, once that is ready in another boot than this one.
    async fn ready(&self, boot_before: &str) -> Value {
        let is = |node: &Value| boot(node) != boot_before && is_ready(node);
        let until = Instant::now() + READY;
        loop {
            if let Some(node) = self.stage.list("nodes").into_iter().find(|n| name(n) == NAME && is(n)) {
                return node;
            }
            let console = self.hypervisor.console(&self.id).await;
            let end: Vec<&str> = console.lines().rev().take(60).collect();
            let end = || end.iter().rev().copied().collect::<Vec<_>>().join("\n");
            assert!(!console.contains("error execution phase"), "the join failed: {}", end());
            assert!(Instant::now() < until, "the Node is not ready within {READY:?}: {}", end());
            tokio::time::sleep(LOOK).await;
        }
    }

    fn node(&self) -> Value {
        self.stage.list("nodes").into_iter().find(|n| name(n) == NAME).expect("it has a Node")
    }

    async fn run(&self, script: &str) -> Ran {
        self.hypervisor.run(&self.id, script).await
    }

    /// The provider, the Node and the guest speak of one machine.
    async fn is_the_node_that_it_made(&self) {
        let node = self.node();
        let uuid = text(&node, "/status/nodeInfo/systemUUID");
        assert!(uuid.eq_ignore_ascii_case(self.id.as_str()), "{uuid} {}", self.id);
        let address = internal_address(&node);
        let machine = self.hypervisor.get(&self.id).await;
        assert_eq!(machine.addresses, [address], "not those of its bridges and tunnels");
        let facts = NodeFacts {
            name: NAME.into(),
            provider_id: node["spec"]["providerID"].as_str().map(str::to_owned),
            system_uuid: Some(uuid),
            addresses: vec![address.to_string()],
        };
        let found = self.hypervisor.provider().find(FindParams { node: facts }).await;
        assert_eq!(found.unwrap_or_else(|error| panic!("{error}")).machine.id, self.id);
        let lacks = self.run(&format!("cat {LACKS_FILE}")).await;
        assert_eq!((lacks.status, lacks.said.as_str()), (0, ""), "what the image lacks");
        let status = self.run("cloud-init status --wait").await;
        assert!(status.said.contains("status: done"), "{status:?}");
        let console = self.hypervisor.console(&self.id).await;
        assert!(console.contains("This node has joined the cluster"), "{console}");
        assert!(!console.contains("Invalid cloud-config"), "{console}");
    }

    /// The bootstrap token let it in, and is not on its console or in a file that we can take away. cloud-init's own
    /// memory of where it was told what to do holds what it was told, for root alone.
    async fn told_nobody_a_secret(&self) {
        let secret = self.token.expose().split('.').nth(1).expect("a token has two parts");
        assert!(!self.hypervisor.console(&self.id).await.contains(secret), "the console tells the token");
        // The agent writes down what it is asked to run.
        let hidden = STANDARD.encode(secret);
        let places = "/etc /root /run /tmp /var/lib/cloud /var/lib/kubelet /var/log /var/tmp";
        let script =
            format!("ls {JOIN_FILE} 2>/dev/null; grep -rlF \"$(echo {hidden} | base64 -d)\" {places}");
        let found = self.run(&script).await;
        assert_eq!(found.said, format!("/var/lib/cloud/instances/{}/obj.pkl\n", self.id));
    }

    /// A pod on either side has an address of its node's range, and each is asked from the other side.
    async fn pods_reach_the_labs_and_are_reached(&self) {
        let began = Instant::now();
        let serve = ["serve", ":8080"];
        self.apply(&[pod("on-lab", LAB, &serve), pod("on-guest", NAME, &serve)]);
        let asked = [("from-guest", NAME, "on-lab"), ("from-lab", LAB, "on-guest")];
        for (asks, node, server) in asked {
            self.asks(asks, node, &self.pod_address(server).await);
        }
        for (asks, ..) in asked {
            self.answered(asks).await;
        }
        let took = began.elapsed().as_secs_f64();
        say(&format!("{TEST}: pods on both sides were asked {took:.0} s after their order"));
    }

    /// After a boot its sandbox is another one, and so is its address.
    async fn its_pod_comes_back_and_answers(&self) {
        let until = Instant::now() + READY;
        loop {
            let pod = self.pod("on-guest");
            let restarts = pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64);
            if is_ready(&pod) && restarts.is_some_and(|restarts| restarts > 0) {
                break;
            }
            assert!(Instant::now() < until, "the pod does not come back within {READY:?}: {}", pod["status"]);
            tokio::time::sleep(LOOK).await;
        }
        self.asks("from-lab-again", LAB, &self.pod_address("on-guest").await);
        self.answered("from-lab-again").await;
    }

    fn asks(&self, name: &str, node: &str, address: &str) {
        let url = format!("http://{address}:8080/");
        self.apply(&[pod(name, node, &["ask", &url, "200ms", "/dev/stdout"])]);
    }

    fn pod(&self, name: &str) -> Value {
        let pods = self.stage.list("pods");
        pods.into_iter().find(|pod| self::name(pod) == name).unwrap_or_default()
    }

    fn apply(&self, documents: &[String]) {
        let cluster = &self.stage.cluster;
        let applied = cluster.kubectl(&["apply", "-f", "-"], Some(&documents.join("\n---\n")));
        applied.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The address of a pod that is ready, in the range that its node was given.
    async fn pod_address(&self, name: &str) -> String {
        let until = Instant::now() + READY;
        loop {
            let pod = self.pod(name);
            if is_ready(&pod) {
                let node = text(&pod, "/spec/nodeName");
                let nodes = self.stage.list("nodes");
                let range = nodes.iter().find(|n| self::name(n) == node).map(|n| text(n, "/spec/podCIDR"));
                let range = range.expect("it is on a node");
                let address = text(&pod, "/status/podIP");
                let begin = range.trim_end_matches("0/24");
                assert!(begin.starts_with("10.244.") && address.starts_with(begin), "{address} {range}");
                return address;
            }
            assert!(Instant::now() < until, "pod {name} is not ready within {READY:?}: {}", pod["status"]);
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn answered(&self, pod: &str) {
        let until = Instant::now() + READY;
        loop {
            let log = self.stage.cluster.kubectl(&["logs", pod], None);
            if log.as_ref().is_ok_and(|log| log.lines().any(|line| line.ends_with(" ok"))) {
                return;
            }
            assert!(Instant::now() < until, "pod {pod} has no answer within {READY:?}: {log:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Another DHCP client on the same interface leaves a lease of the same MAC address that nobody uses, as a guest
    /// with a new machine-id does, and the list begins with it. The guest agent tells of one address, and without it only
    /// one lease answers.
    async fn has_the_address_that_answers_and_no_dead_one(&self) {
        let address = internal_address(&self.node());
        let leased = self.run(DEAD_LEASE).await;
        assert_eq!(leased.status, 0, "{leased:?}");
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let leases = self.hypervisor.virsh(&["domifaddr", self.id.as_str(), "--source", "lease"]);
            let leases: Vec<&str> =
                leases.split_whitespace().filter_map(|word| word.strip_suffix("/24")).collect();
            if leases.len() == 2 && leases[0] != address.to_string() && leases[1] == address.to_string() {
                break;
            }
            assert!(Instant::now() < until, "a dead lease and the one of {address}: {leases:?}");
            tokio::time::sleep(LOOK).await;
        }
        assert_eq!(self.hypervisor.get(&self.id).await.addresses, [address]);
        // The agent can't tell of its own end.
        let ends = self.run("systemd-run --on-active=1 systemctl stop qemu-guest-agent").await;
        assert_eq!(ends.status, 0, "{ends:?}");
        let until = Instant::now() + Duration::from_secs(60);
        while self.hypervisor.agent_answers(&self.id) {
            assert!(Instant::now() < until, "the agent does not end");
            tokio::time::sleep(LOOK).await;
        }
        assert_eq!(self.hypervisor.get(&self.id).await.addresses, [address]);
    }

    /// It shuts down by itself; it is off then, and all that it is made of stays.
    async fn is_kept_when_it_is_off(&self) {
        let before = self.hypervisor.volumes();
        assert_eq!(before.len(), 3, "disk, seed and console: {before:?}");
        let began = Instant::now();
        let stopped = self.hypervisor.stop(&self.id).await;
        let took = began.elapsed();
        say(&format!("{TEST}: off after {:.0} s", took.as_secs_f64()));
        assert_eq!((stopped.state, stopped.addresses), (MachineState::Stopped, Vec::new()));
        assert!(took < Duration::from_secs(100), "it was switched off and did not shut down");
        assert_eq!(self.hypervisor.volumes(), before);
        let listed = self.hypervisor.list().await.machines;
        assert_eq!(listed.iter().map(|m| &m.id).collect::<Vec<_>>(), [&self.id]);
    }

    async fn comes_back_as_the_same_node(&self) {
        let uid = text(&self.node(), "/metadata/uid");
        let began = Instant::now();
        let started = self.hypervisor.start_again(&self.id).await;
        assert_eq!(started.state, MachineState::Running);
        let node = self.ready(&self.first_boot).await;
        say(&format!("{TEST}: ready again {:.0} s after its start", began.elapsed().as_secs_f64()));
        assert_eq!(text(&node, "/metadata/uid"), uid);
        assert_eq!(text(&node, "/status/nodeInfo/systemUUID").to_lowercase(), self.id.as_str());
    }

    async fn leaves_nothing(&self) {
        self.hypervisor.delete(&self.id).await;
        assert!(self.hypervisor.list().await.machines.is_empty());
        assert_eq!(self.hypervisor.volumes(), Vec::<String>::new());
        let domains = self.hypervisor.virsh(&["list", "--all", "--name"]);
        assert_eq!(domains.trim(), "old");
    }
}

/// A pod of the lab's web program that the scheduler can put on one node only.
fn pod(name: &str, node: &str, args: &[&str]) -> String {
    let container = json!({"name": "web", "image": WEB, "args": args});
    let spec = json!({
        "nodeSelector": {"kubernetes.io/hostname": node}, "tolerations": [{"operator": "Exists"}],
        "containers": [container], "terminationGracePeriodSeconds": 1,
    });
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}).to_string()
}

/// A token as `kubeadm` makes one, for as long as replank's own live.
fn token(stage: &Stage) -> String {
    let words = ["kubeadm", "token", "create", "--ttl", "30m"];
    let made = stage.cluster.lab().host_run(LAB, &words, None).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(made.stdout).expect("a token is text").trim().to_owned()
}

fn user_data(stage: &Stage, token: Secret) -> Vec<u8> {
    let place = ["get", "configmap", "cluster-info", "--namespace", "kube-public", "--output", "json"];
    let map = stage.cluster.kubectl(&place, None).unwrap_or_else(|error| panic!("{error}"));
    let map = serde_json::from_str(&map).expect("kubectl prints JSON");
    let authority = authority::of(Some(map)).unwrap_or_else(|error| panic!("{error:?}"));
    let requirements = REQUIREMENTS.iter();
    let join = Join {
        node_name: NAME.into(),
        endpoint: format!("{GATEWAY}:6443"),
        token,
        ca_cert_hashes: vec![authority.pin],
        taints: Vec::new(),
        control_plane: None,
        kubernetes_version: KUBERNETES.into(),
        families: Families::V4,
        kubelet: KubeletArguments::default(),
        cgroup_driver: CgroupDriver::Cgroupfs,
        requirements: requirements
            .map(|r| Requirement { test: r.test.into(), lacks: format!("{LACKS}{}", r.item.id()) })
            .collect(),
        files: Vec::new(),
        static_pods: Vec::new(),
    };
    let whole = UserData::new(&join.cloud_config(), &[]).unwrap_or_else(|error| panic!("{error}"));
    whole.render(whole.usual()).unwrap_or_else(|error| panic!("{error}"))
}

fn text(object: &Value, at: &str) -> String {
    object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn name(object: &Value) -> String {
    text(object, "/metadata/name")
}

fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

fn boot(node: &Value) -> String {
    text(node, "/status/nodeInfo/bootID")
}

fn internal_address(node: &Value) -> IpAddr {
    let addresses = node["status"]["addresses"].as_array().cloned().unwrap_or_default();
    let internal = addresses.iter().find(|a| a["type"] == "InternalIP").expect("it has an address");
    text(internal, "/address").parse().expect("it is an address")
}
