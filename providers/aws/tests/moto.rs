//! The provider against moto's server, which others hold to AWS's own words: the shape of every call on the wire.
//! What moto does not do (client tokens that are held to, states that take time, missing room) is the fake's.

use crate::support::{mutation, on, settled};
use replank_provider_aws::AwsProvider;
use replank_provider_kit::Provider as _;
use replank_provider_protocol::verbs::{
    CreateParams, Deletable, DeleteParams, FindParams, GetParams, InitializeParams, ListParams, MachineSpec,
    RestoreParams,
};
use replank_provider_protocol::{MachineId, MachineState, NodeFacts, Role};
use serde_json::json;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long Python may take to load all that moto imports, on a busy machine.
const START: Duration = Duration::from_secs(120);

/// moto's server, ended with this value.
struct Moto {
    child: Child,
    endpoint: String,
    folder: tempfile::TempDir,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    async fn start(program: &Path) -> Self {
        // The port is free until moto takes it: nothing else here asks for that one.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let folder = tempfile::tempdir().expect("a folder");
        let keys = "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = none\n";
        std::fs::write(folder.path().join("config"), keys).expect("a configuration");
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let moto = Self { child, endpoint: format!("http://127.0.0.1:{port}"), folder };
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < START, "moto does not listen");
            // A port can't be watched.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        moto
    }

    async fn provider(&self) -> AwsProvider {
        let settings = json!({
            "region": "eu-central-1",
            "profile": "default",
            "endpoint": self.endpoint,
            "configFile": self.folder.path().join("config"),
            "consistencySeconds": 0,
            "snapshots": {"unencrypted": true},
        });
        let provider = AwsProvider::default();
        let params = InitializeParams { protocol_versions: vec![1], settings };
        provider.initialize(params).await.expect("it is greeted");
        provider
    }

    /// Somebody's node, made past the provider. Its id and the security group's.
    async fn node(&self) -> MachineId {
        use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("AKIDEXAMPLE", "none", None, None, "test"))
            .endpoint_url(&self.endpoint)
            .build();
        let ec2 = aws_sdk_ec2::Client::from_conf(config);
        let subnets = ec2.describe_subnets().send().await.expect("subnets");
        let subnet = subnets.subnets()[0].clone();
        let group = ec2
            .create_security_group()
            .group_name("nodes")
            .description("nodes")
            .set_vpc_id(subnet.vpc_id.clone())
            .send()
            .await
            .expect("a group");
        let group = group.group_id.expect("its id");
        let pair = aws_sdk_ec2::types::UserIdGroupPair::builder().group_id(&group).build();
        let rule = aws_sdk_ec2::types::IpPermission::builder()
            .ip_protocol("udp")
            .from_port(8472)
            .to_port(8472)
            .user_id_group_pairs(pair)
            .build();
        let request = ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(rule);
        request.send().await.expect("a rule");
        let images = ec2.describe_images().owners("amazon").send().await.expect("images");
        let image = images.images().iter().find(|i| i.root_device_name.is_some()).expect("an image").clone();
        let made = ec2
            .run_instances()
            .set_image_id(image.image_id)
            .instance_type(aws_sdk_ec2::types::InstanceType::M5Large)
            .set_subnet_id(subnet.subnet_id)
            .security_group_ids(&group)
            .min_count(1)
            .max_count(1)
            .send()
            .await
            .expect("a node");
        MachineId::new(made.instances()[0].instance_id.clone().expect("its id"))
    }
}

#[tokio::test]
async fn motos_server_understands_every_call() {
    let name = "motos_server_understands_every_call";
    let Some(program) = std::env::var_os("REPLANK_MOTO").map(PathBuf::from) else {
        return replank_tests::skip(
            name,
            "REPLANK_MOTO names no moto_server (`cargo xtask test providers` installs one)",
        );
    };
    let moto = Moto::start(&program).await;
    let node = moto.node().await;
    let provider = moto.provider().await;
    let spec = MachineSpec {
        name: "worker-1-new".into(),
        role: Role::ControlPlane,
        like: node.clone(),
        labels: [("tier".to_owned(), "web".to_owned())].into(),
    };
    let params =
        CreateParams { mutation: mutation("create"), spec, user_data: "I2Nsb3VkLWNvbmZpZwo=".into() };
    let made = settled(async || provider.create(params.clone()).await).await.expect("it is made");
    assert_eq!(made.name, "worker-1-new");
    assert_eq!(made.labels.get("tier").map(String::as_str), Some("web"));
    let again = settled(async || provider.create(params.clone()).await).await.expect("it is found");
    assert_eq!(again.id, made.id);
    let facts = NodeFacts {
        name: "x".into(),
        provider_id: made.provider_id.clone(),
        system_uuid: None,
        addresses: Vec::new(),
    };
    assert_eq!(provider.find(FindParams { node: facts }).await.expect("it is found").machine.id, made.id);
    let snapshot =
        settled(async || provider.snapshot(on("snapshot", &made.id)).await).await.expect("it is taken");
    let list = ListParams { cluster: params.mutation.cluster.clone(), run: None };
    let listing = provider.list(list.clone()).await.expect("a list");
    assert_eq!(listing.machines.iter().map(|m| &m.id).collect::<Vec<_>>(), [&made.id]);
    assert_eq!(listing.snapshots.iter().map(|s| &s.id).collect::<Vec<_>>(), [&snapshot.id]);
    settled(async || provider.deregister(on("out", &made.id)).await).await.expect("it is in none");
    settled(async || provider.stop(on("stop", &made.id)).await).await.expect("it is stopped");
    let restore = RestoreParams {
        mutation: mutation("restore"),
        machine: made.id.clone(),
        snapshot: snapshot.id.clone(),
    };
    settled(async || provider.restore(restore.clone()).await).await.expect("it is restored");
    let started = settled(async || provider.start(on("start", &made.id)).await).await.expect("it is started");
    assert_eq!(started.state, MachineState::Running);
    provider.console_log(GetParams { machine: made.id.clone() }).await.expect("a console");
    for (what, target) in [
        ("delete/snapshot", Deletable::Snapshot(snapshot.id)),
        ("delete/machine", Deletable::Machine(made.id.clone())),
    ] {
        let params = DeleteParams { mutation: mutation(what), target };
        settled(async || provider.delete(params.clone()).await).await.expect(what);
    }
    let listing = provider.list(list).await.expect("a list");
    assert!(listing.machines.is_empty() && listing.snapshots.is_empty(), "{listing:?}");
    assert_eq!(
        provider.get(GetParams { machine: node }).await.expect("the node").state,
        MachineState::Running
    );
}
