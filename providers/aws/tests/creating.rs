//! New machines, whatever goes wrong on the way.

use crate::support::{CLUSTER, Site, on, settled};
use replank_ec2_fake::world::State;
use replank_ec2_fake::{Fault, Pace};
use replank_provider_kit::Provider as _;
use replank_provider_protocol::verbs::{Deletable, DeleteParams, ListParams, Progress};
use replank_provider_protocol::{ErrorCode, MachineState};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_new_machine_is_like_the_old_one_and_says_whose_it_is() {
    let site = Site::new(Pace::default()).await;
    let root = {
        let mut world = site.fake.world();
        let node = world.instances.get_mut(site.node.as_str()).expect("the node");
        node.source_dest_check = false;
        let before = std::time::Instant::now().checked_sub(Duration::from_secs(60)).expect("a minute ago");
        node.tags.change(before, "kubernetes.io/cluster/blue", Some("owned"));
        node.disks[0].volume.clone()
    };
    site.fake.world().volumes.get_mut(&root).expect("its disk").size = 77;
    let provider = site.provider(&json!({"tags": {"team": "storage"}})).await;
    let machine = site.running(&provider, "worker-1-new").await;
    assert_eq!(machine.provider_id, Some(format!("aws:///eu-central-1a/{}", machine.id)));
    let world = site.fake.world();
    let made = &world.instances[machine.id.as_str()];
    let node = &world.instances[site.node.as_str()];
    assert_eq!((&made.image, &made.kind, &made.subnet), (&node.image, &node.kind, &node.subnet));
    assert_eq!((&made.groups, &made.key, &made.profile), (&node.groups, &node.key, &node.profile));
    assert!(!made.source_dest_check, "routes without encapsulation would be lost");
    assert_eq!(made.metadata, ("required".to_owned(), 2), "IMDSv2, and as many hops as before");
    let disk = &world.volumes[&made.disks[0].volume];
    assert_eq!((disk.size, disk.kind.as_str(), disk.encrypted), (77, "gp3", true));
    let tags = made.tags.now();
    for (key, value) in [
        ("Name", "worker-1-new"),
        ("tier", "web"),
        ("team", "storage"),
        ("kubernetes.io/cluster/blue", "owned"),
        ("replank.dev/cluster", CLUSTER),
        ("replank.dev/run", "run-7"),
        ("replank.dev/node", "worker-1-new"),
        ("replank.dev/attempt", "0"),
        ("replank.dev/replaces", site.node.as_str()),
    ] {
        assert_eq!(tags.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(disk.tags.now().get("replank.dev/run").map(String::as_str), Some("run-7"));
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_machine() {
    let site = Site::new(Pace::default()).await;
    // More than the SDK tries within one call: the second call finds what the first has made.
    for _ in 0..7 {
        site.fake.world().faults.next("RunInstances", Fault::AnswerLost);
    }
    let provider = site.provider(&json!({})).await;
    let machine =
        settled(async || provider.create(site.create("worker-1-new")).await).await.expect("it is made");
    let world = site.fake.world();
    assert!(world.called("RunInstances") > 1, "the first answer was lost");
    let alive: Vec<_> =
        world.alive().iter().map(|i| i.id.clone()).filter(|id| *id != site.node.as_str()).collect();
    assert_eq!(alive, [machine.id.to_string()]);
}

#[tokio::test]
async fn too_many_calls_are_waited_out() {
    let site = Site::new(Pace::default()).await;
    for _ in 0..3 {
        site.fake.world().faults.next("RunInstances", Fault::throttled());
        site.fake.world().faults.next("DescribeTags", Fault::throttled());
    }
    let provider = site.provider(&json!({})).await;
    settled(async || provider.create(site.create("worker-1-new")).await).await.expect("it is made");
    assert_eq!(site.fake.world().faults.left(), 0);
    assert_eq!(site.fake.world().alive().len(), 2);
}

#[tokio::test]
async fn without_room_the_next_subnet_and_type_is_taken_within_the_zone() {
    let site = Site::new(Pace::default()).await;
    site.fake.world().full = vec!["subnet-0a1".into(), "m5.large".into()];
    let settings =
        json!({"subnets": ["subnet-0b1", "subnet-0a2"], "instanceTypes": ["m5.large", "m6i.large"]});
    let provider = site.provider(&settings).await;
    let machine = site.running(&provider, "worker-1-new").await;
    let world = site.fake.world();
    let made = &world.instances[machine.id.as_str()];
    assert_eq!((made.subnet.as_str(), made.kind.as_str()), ("subnet-0a2", "m6i.large"));
    assert_eq!(made.tags.now()["replank.dev/attempt"], "3");
    assert_eq!(world.alive().len(), 2);
    assert_eq!(world.called("RunInstances"), 4, "every place was asked for once");
    let left: Vec<_> = world.instances[site.node.as_str()].tags.now().into_keys().collect();
    assert!(!left.iter().any(|key| key.starts_with("replank.dev/tried/")), "{left:?}");
}

#[tokio::test]
async fn another_zone_is_taken_only_if_allowed_and_never_away_from_a_pods_volume() {
    let site = Site::new(Pace::default()).await;
    site.fake.world().full = vec!["subnet-0a1".into()];
    let settings = json!({"subnets": ["subnet-0b1"]});
    let same = site.provider(&settings).await;
    let refused =
        settled(async || same.create(site.create("worker-1-same")).await).await.expect_err("no room");
    assert_eq!(refused.code, ErrorCode::Exhausted);
    assert!(refused.message.contains("m5.large in subnet-0a1"), "{}", refused.message);
    let settings = json!({"subnets": ["subnet-0b1"], "zones": "any"});
    let any = site.provider(&settings).await;
    let machine = site.running(&any, "worker-1-any").await;
    assert_eq!(machine.provider_id, Some(format!("aws:///eu-central-1b/{}", machine.id)));
    // The volume of a pod, which the cluster's CSI driver has attached.
    let disk = replank_ec2_fake::world::Attachment {
        device: "/dev/xvdba".into(),
        volume: "vol-0pod".into(),
        goes_with_it: false,
    };
    site.fake.world().instances.get_mut(site.node.as_str()).expect("the node").disks.push(disk);
    let refused =
        settled(async || any.create(site.create("worker-1-bound")).await).await.expect_err("no room");
    assert_eq!(refused.code, ErrorCode::Exhausted);
}

#[tokio::test]
async fn a_machine_that_ends_by_itself_is_told_of() {
    let site = Site::new(Pace { boot: Duration::from_secs(2), ..Pace::default() }).await;
    let fault = Fault::EndsByItself {
        code: "Client.InternalError".into(),
        message: "Client error on launch: the key of its disk is disabled".into(),
    };
    site.fake.world().faults.next("RunInstances", fault);
    let provider = site.provider(&json!({})).await;
    let params = site.create("worker-1-new");
    let made = settled(async || provider.create(params.clone()).await).await.expect("it exists at first");
    settled(async || {
        let machine =
            provider.get(replank_provider_protocol::verbs::GetParams { machine: made.id.clone() }).await?;
        Ok(match machine.state {
            MachineState::Failed => Progress::Done { value: () },
            state => Progress::Pending { message: format!("{state:?}") },
        })
    })
    .await
    .expect("it has failed");
    let refused =
        settled(async || provider.create(params.clone()).await).await.expect_err("it can't be made");
    assert_eq!(refused.code, ErrorCode::Internal);
    assert!(refused.message.contains("the key of its disk is disabled"), "{}", refused.message);
}

#[tokio::test]
async fn room_that_is_missing_after_the_answer_is_looked_for_elsewhere() {
    let site = Site::new(Pace { boot: Duration::from_millis(1), ..Pace::default() }).await;
    let fault = Fault::EndsByItself {
        code: "Server.InsufficientInstanceCapacity".into(),
        message: "Insufficient capacity".into(),
    };
    site.fake.world().faults.next("RunInstances", fault);
    let provider = site.provider(&json!({"subnets": ["subnet-0a2"]})).await;
    let machine = site.running(&provider, "worker-1-new").await;
    let world = site.fake.world();
    assert_eq!(world.instances[machine.id.as_str()].subnet, "subnet-0a2");
    assert_eq!(world.called("RunInstances"), 2);
}

#[tokio::test]
async fn a_launch_template_says_what_the_machine_is_and_replank_only_where() {
    let site = Site::new(Pace::default()).await;
    let template =
        [("ImageId", "ami-0002"), ("InstanceType", "c7g.large"), ("SecurityGroupId.1", "sg-0nodes")];
    let template = template.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    site.fake.world().templates.insert("nodes".into(), template);
    let provider = site.provider(&json!({"launchTemplate": {"name": "nodes"}})).await;
    let machine = site.running(&provider, "worker-1-new").await;
    let world = site.fake.world();
    let made = &world.instances[machine.id.as_str()];
    assert_eq!((made.image.as_str(), made.kind.as_str()), ("ami-0002", "c7g.large"));
    assert_eq!((made.subnet.as_str(), &made.groups[..]), ("subnet-0a1", &["sg-0nodes".to_owned()][..]));
    let call = world.calls.iter().find(|call| call.action == "RunInstances").expect("it was asked for");
    assert_eq!(call.params.get("LaunchTemplate.Version").map(String::as_str), Some("$Latest"));
}

#[tokio::test]
async fn the_newest_image_of_a_filter_is_taken() {
    let site = Site::new(Pace::default()).await;
    let image = json!({"newest": {"owners": ["123456789012"], "name": "node-1.34.*"}});
    let provider = site.provider(&json!({"image": image})).await;
    let machine = site.running(&provider, "worker-1-new").await;
    assert_eq!(site.fake.world().instances[machine.id.as_str()].image, "ami-0002");
    let image = json!({"newest": {"owners": ["self"], "name": "none-*"}});
    let provider = site.provider(&json!({"image": image})).await;
    let refused = provider.create(site.create("worker-2-new")).await.expect_err("there is none");
    assert!(refused.message.contains("none-*"), "{}", refused.message);
}

#[tokio::test]
async fn a_machine_of_a_run_that_died_is_listed_and_deleted_with_its_disks() {
    let site = Site::new(Pace::default()).await;
    let machine = {
        let provider = site.provider(&json!({})).await;
        site.running(&provider, "worker-1-new").await
    };
    let provider = site.provider(&json!({})).await;
    let listing = provider.list(ListParams { cluster: CLUSTER.into(), run: None }).await.expect("a list");
    assert_eq!(listing.machines.iter().map(|m| &m.id).collect::<Vec<_>>(), [&machine.id]);
    let params = DeleteParams {
        mutation: crate::support::mutation("gc"),
        target: Deletable::Machine(machine.id.clone()),
    };
    settled(async || provider.delete(params.clone()).await).await.expect("it is deleted");
    let world = site.fake.world();
    assert_eq!(world.instances[machine.id.as_str()].state, State::Terminated);
    assert_eq!(world.volumes.len(), 1, "only the node's disk is left");
}

#[tokio::test]
async fn a_spot_machine_can_not_be_kept_and_is_not_stopped() {
    let site = Site::new(Pace::default()).await;
    site.fake.world().instances.get_mut(site.node.as_str()).expect("the node").spot = true;
    let provider = site.provider(&json!({})).await;
    let node = json!({"node": {"name": "x", "providerId": format!("aws:///eu-central-1a/{}", site.node)}});
    let params = serde_json::from_value(node).expect("a node");
    let found = provider.find(params).await.expect("it is found");
    assert_eq!(found.keeping, replank_provider_protocol::Keeping::Lost);
    let refused = provider.stop(on("stop/worker-1", &site.node)).await.expect_err("it would be lost");
    assert_eq!(refused.code, ErrorCode::Invalid);
    assert_eq!(site.fake.world().called("StopInstances"), 0);
}

#[tokio::test]
async fn a_node_without_a_provider_id_is_found_by_its_address() {
    let site = Site::new(Pace::default()).await;
    let address = site.fake.world().instances[site.node.as_str()].address.clone();
    let provider = site.provider(&json!({"vpc": "vpc-0"})).await;
    let node = json!({"node": {"name": "worker-1", "addresses": [address, "worker-1"]}});
    let params: replank_provider_protocol::verbs::FindParams = serde_json::from_value(node).expect("a node");
    assert_eq!(provider.find(params.clone()).await.expect("it is found").machine.id, site.node);
    let other = site.fake.world().somebodys_machine("another", "m5.large", "subnet-0b1");
    site.fake
        .world()
        .instances
        .get_mut(&other)
        .expect("the other")
        .address
        .clone_from(&params.node.addresses[0]);
    let refused = provider.find(params).await.expect_err("it could be either");
    assert!(refused.message.contains("`vpc`"), "{}", refused.message);
}

#[tokio::test]
async fn a_stopped_machine_that_finds_no_room_is_said_and_started_later() {
    let site = Site::new(Pace::default()).await;
    let provider = site.provider(&json!({})).await;
    settled(async || provider.stop(on("stop", &site.node)).await).await.expect("it is stopped");
    site.fake.world().full.push("m5.large".into());
    let refused =
        settled(async || provider.start(on("start", &site.node)).await).await.expect_err("there is no room");
    assert_eq!(refused.code, ErrorCode::Exhausted);
    assert_eq!(refused.retry, replank_provider_protocol::Retry::MayHelp);
    assert_eq!(site.fake.world().called("StartInstances"), 1, "the SDK must not take it for a defect");
    site.fake.world().full.clear();
    settled(async || provider.start(on("start", &site.node)).await).await.expect("it is started");
}
