//! Machines of Auto Scaling groups: neither the old nor the new one is lost to the group, and it is itself again
//! afterwards.

use crate::support::{Site, mutation, on, settled};
use replank_ec2_fake::groups::{Group, Standing};
use replank_ec2_fake::world::State;
use replank_ec2_fake::{Fake, Fault, Pace};
use replank_provider_kit::Provider as _;
use replank_provider_protocol::verbs::{Deletable, DeleteParams};
use replank_provider_protocol::{ErrorCode, MachineId};
use serde_json::json;

fn group(site: &Site, min: i64, max: i64) {
    let mut world = site.fake.world();
    let other = world.somebodys_machine("worker-2", "m5.large", "subnet-0a1");
    let members = [site.node.to_string(), other].map(|id| (id, Standing::InService)).into();
    let group = Group {
        min,
        max,
        desired: 2,
        members,
        suspended: ["ScheduledActions".to_owned()].into(),
        tags: [("team".to_owned(), "blue".to_owned())].into(),
        ..Group::default()
    };
    world.scaling.insert("workers".into(), group);
}

fn as_it_was(fake: &Fake, members: &[&MachineId]) {
    let world = fake.world();
    let group = &world.scaling["workers"];
    assert!(group.spawned.is_empty(), "the group has made {:?}", group.spawned);
    assert!(group.ended.is_empty(), "the group has ended {:?}", group.ended);
    assert_eq!(group.desired, 2);
    for member in members {
        assert_eq!(group.members.get(member.as_str()), Some(&Standing::InService), "{member}");
    }
    assert_eq!(group.suspended.iter().collect::<Vec<_>>(), ["ScheduledActions"], "what was suspended before");
    assert_eq!(group.tags.keys().collect::<Vec<_>>(), ["team"]);
}

#[tokio::test]
async fn a_replacement_takes_the_old_machines_place_and_gives_it_back() {
    for (groups, min, max) in
        [("detached", 1, 4), ("detached", 2, 3), ("detached", 1, 2), ("standby", 1, 4), ("standby", 1, 2)]
    {
        let site = Site::new(Pace::default()).await;
        group(&site, min, max);
        let provider = site.provider(&json!({"groups": groups})).await;
        let new = site.running(&provider, "worker-1-new").await;
        {
            let world = site.fake.world();
            assert!(world.scaling["workers"].suspended.contains("AZRebalance"), "{groups}: it is left alone");
            assert!(!world.scaling["workers"].suspended.contains("Launch"));
        }
        settled(async || provider.stop(on("stop", &site.node)).await).await.expect("it is stopped");
        as_it_was(&site.fake, &[&new.id]);
        let standing = site.fake.world().scaling["workers"].members.get(site.node.as_str()).copied();
        assert_eq!(standing, (groups == "standby").then_some(Standing::Standby));
        // The run is rolled back: the old machine returns, then the new one goes.
        settled(async || provider.start(on("start", &site.node)).await).await.expect("it is started");
        let params =
            DeleteParams { mutation: mutation("delete"), target: Deletable::Machine(new.id.clone()) };
        settled(async || provider.delete(params.clone()).await).await.expect("it is deleted");
        as_it_was(&site.fake, &[&site.node]);
        let world = site.fake.world();
        assert_eq!(world.instances[new.id.as_str()].state, State::Terminated);
        assert_eq!(world.instances[site.node.as_str()].state, State::Running);
        assert!(!world.instances[site.node.as_str()].tags.now().contains_key("replank.dev/left-group"));
    }
}

#[tokio::test]
async fn the_old_machine_is_deleted_in_the_end_and_nothing_takes_its_place() {
    for groups in ["detached", "standby"] {
        let site = Site::new(Pace::default()).await;
        group(&site, 1, 4);
        let provider = site.provider(&json!({"groups": groups})).await;
        let new = site.running(&provider, "worker-1-new").await;
        settled(async || provider.stop(on("stop", &site.node)).await).await.expect("it is stopped");
        let params =
            DeleteParams { mutation: mutation("finalize"), target: Deletable::Machine(site.node.clone()) };
        settled(async || provider.delete(params.clone()).await).await.expect("it is deleted");
        as_it_was(&site.fake, &[&new.id]);
        assert_eq!(site.fake.world().instances[site.node.as_str()].state, State::Terminated);
    }
}

#[tokio::test]
async fn whatever_answer_of_a_group_is_lost_it_is_itself_again_in_the_end() {
    for (groups, leave, back) in
        [("detached", "DetachInstances", "AttachInstances"), ("standby", "EnterStandby", "ExitStandby")]
    {
        let site = Site::new(Pace::default()).await;
        group(&site, 1, 4);
        let lose = |actions: &[&str]| {
            let mut world = site.fake.world();
            for action in actions {
                world.faults.next(action, Fault::AnswerLost);
            }
        };
        let provider = site.provider(&json!({"groups": groups})).await;
        lose(&["CreateOrUpdateTags", "SuspendProcesses"]);
        let new = site.running(&provider, "worker-1-new").await;
        lose(&["AttachInstances", leave, "ResumeProcesses", "DeleteTags"]);
        // Another process each time: nothing may depend on what one remembers.
        settled(async || site.provider(&json!({"groups": groups})).await.stop(on("stop", &site.node)).await)
            .await
            .expect("it is stopped");
        as_it_was(&site.fake, &[&new.id]);
        lose(&[back, "DetachInstances"]);
        settled(async || {
            site.provider(&json!({"groups": groups})).await.start(on("start", &site.node)).await
        })
        .await
        .expect("it is started");
        let params =
            DeleteParams { mutation: mutation("delete"), target: Deletable::Machine(new.id.clone()) };
        settled(async || provider.delete(params.clone()).await).await.expect("it is deleted");
        as_it_was(&site.fake, &[&site.node]);
        assert_eq!(site.fake.world().faults.left(), 0, "{groups}: not every answer was lost");
    }
}

#[tokio::test]
async fn a_group_without_any_way_is_told_of_and_left_as_it_is() {
    let site = Site::new(Pace::default()).await;
    group(&site, 2, 2);
    let provider = site.provider(&json!({})).await;
    let new = site.running(&provider, "worker-1-new").await;
    let refused =
        settled(async || provider.stop(on("stop", &site.node)).await).await.expect_err("there is no way");
    assert_eq!(refused.code, ErrorCode::Invalid);
    assert!(refused.message.contains("raise its maximum or lower its minimum by one"), "{}", refused.message);
    assert_eq!(site.fake.world().instances[site.node.as_str()].state, State::Running);
    let params = DeleteParams { mutation: mutation("delete"), target: Deletable::Machine(new.id) };
    settled(async || provider.delete(params.clone()).await).await.expect("it is deleted");
    as_it_was(&site.fake, &[&site.node]);
}

#[tokio::test]
async fn without_this_the_group_would_replace_a_machine_that_is_stopped() {
    let site = Site::new(Pace::default()).await;
    group(&site, 1, 4);
    let provider = site.provider(&json!({"groups": "never"})).await;
    let stopped = settled(async || provider.stop(on("stop", &site.node)).await).await;
    let world = site.fake.world();
    let group = &world.scaling["workers"];
    assert!(
        stopped.is_err() || !group.spawned.is_empty(),
        "the fake's groups do nothing: nothing is proven by them"
    );
    assert_eq!(group.ended, [site.node.to_string()]);
}
