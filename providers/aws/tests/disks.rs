//! Snapshots, and machines brought back to them.

use crate::support::{CLUSTER, Site, mutation, on, settled};
use replank_ec2_fake::world::Attachment;
use replank_ec2_fake::{Fault, Pace};
use replank_provider_kit::Provider as _;
use replank_provider_protocol::verbs::{Deletable, DeleteParams, ListParams, RestoreParams};
use replank_provider_protocol::{ErrorCode, MachineId, SnapshotState};
use serde_json::json;

/// The node gets a second disk of its own and one of a pod.
fn furnish(site: &Site) -> Vec<String> {
    let mut world = site.fake.world();
    let own = world.instances[site.node.as_str()].disks[0].volume.clone();
    let mut disks = vec![own.clone()];
    for (device, goes_with_it) in [("/dev/xvdb", true), ("/dev/xvdba", false)] {
        let id = format!("vol-0{}", device.len());
        let mut volume = world.volumes[&own].clone();
        volume.attached = Some((site.node.to_string(), device.into()));
        volume.kind = "io2".into();
        world.volumes.insert(id.clone(), volume);
        let node = world.instances.get_mut(site.node.as_str()).expect("the node");
        node.disks.push(Attachment { device: device.into(), volume: id.clone(), goes_with_it });
        disks.push(id);
    }
    for (number, id) in disks.iter().enumerate() {
        world.volumes.get_mut(id).expect("a disk").content = format!("before {number}");
    }
    disks
}

fn contents(site: &Site, machine: &MachineId) -> Vec<(String, String, bool)> {
    let world = site.fake.world();
    let mut disks: Vec<_> = world.instances[machine.as_str()]
        .disks
        .iter()
        .map(|disk| (disk.device.clone(), world.volumes[&disk.volume].content.clone(), disk.goes_with_it))
        .collect();
    disks.sort();
    disks
}

#[tokio::test]
async fn a_machine_is_brought_back_to_its_own_disks_and_the_pods_volume_stays() {
    let site = Site::new(Pace::default()).await;
    let disks = furnish(&site);
    let provider = site.provider(&json!({})).await;
    let snapshot =
        settled(async || provider.snapshot(on("snapshot", &site.node)).await).await.expect("it is taken");
    assert_eq!(snapshot.state, SnapshotState::Ready);
    assert_eq!(site.fake.world().snapshots.len(), 2, "the pod's volume is not the node's");
    for id in &disks {
        site.fake.world().volumes.get_mut(id).expect("a disk").content = "after".into();
    }
    settled(async || provider.stop(on("stop", &site.node)).await).await.expect("it is stopped");
    let params = RestoreParams {
        mutation: mutation("restore"),
        machine: site.node.clone(),
        snapshot: snapshot.id.clone(),
    };
    settled(async || provider.restore(params.clone()).await).await.expect("it is restored");
    let expected =
        [("/dev/xvda", "before 0", true), ("/dev/xvdb", "before 1", true), ("/dev/xvdba", "after", false)];
    let expected = expected.map(|(device, content, goes)| (device.to_owned(), content.to_owned(), goes));
    assert_eq!(contents(&site, &site.node), expected);
    let world = site.fake.world();
    assert_eq!(world.volumes.len(), 3, "the disks that were exchanged are gone: {:?}", world.volumes.keys());
    let kinds: Vec<_> =
        world.instances[site.node.as_str()].disks.iter().map(|d| &world.volumes[&d.volume].kind).collect();
    assert!(kinds.iter().filter(|kind| **kind == "io2").count() == 2, "{kinds:?}");
}

#[tokio::test]
async fn a_pods_volume_is_taken_when_asked_for_and_never_exchanged() {
    let site = Site::new(Pace::default()).await;
    let disks = furnish(&site);
    let provider = site.provider(&json!({"snapshots": {"podVolumes": true}})).await;
    let snapshot =
        settled(async || provider.snapshot(on("snapshot", &site.node)).await).await.expect("it is taken");
    assert_eq!(site.fake.world().snapshots.len(), 3);
    for id in &disks {
        site.fake.world().volumes.get_mut(id).expect("a disk").content = "after".into();
    }
    settled(async || provider.stop(on("stop", &site.node)).await).await.expect("it is stopped");
    let params =
        RestoreParams { mutation: mutation("restore"), machine: site.node.clone(), snapshot: snapshot.id };
    settled(async || provider.restore(params.clone()).await).await.expect("it is restored");
    let pods = contents(&site, &site.node).pop().expect("the pod's volume");
    assert_eq!(pods, ("/dev/xvdba".to_owned(), "after".to_owned(), false), "it must outlive the machine");
    let world = site.fake.world();
    assert!(world.volumes.contains_key(&disks[2]), "the cluster knows it by its id");
}

#[tokio::test]
async fn an_unencrypted_disk_is_not_taken_without_a_word() {
    let site = Site::new(Pace::default()).await;
    let disk = site.fake.world().instances[site.node.as_str()].disks[0].volume.clone();
    site.fake.world().volumes.get_mut(&disk).expect("the disk").encrypted = false;
    let provider = site.provider(&json!({})).await;
    let refused = provider.snapshot(on("snapshot", &site.node)).await.expect_err("it holds keys");
    assert_eq!(refused.code, ErrorCode::Denied);
    assert!(refused.message.contains("snapshots.unencrypted"), "{}", refused.message);
    assert!(site.fake.world().snapshots.is_empty());
    let provider = site.provider(&json!({"snapshots": {"unencrypted": true}})).await;
    settled(async || provider.snapshot(on("snapshot", &site.node)).await).await.expect("it is taken");
}

#[tokio::test]
async fn a_snapshot_whose_answer_is_lost_is_found_and_not_taken_twice() {
    let site = Site::new(Pace::default()).await;
    furnish(&site);
    site.fake.world().faults.next("CreateSnapshots", Fault::AnswerLost);
    let provider = site.provider(&json!({})).await;
    let snapshot =
        settled(async || provider.snapshot(on("snapshot", &site.node)).await).await.expect("it is taken");
    assert_eq!(site.fake.world().snapshots.len(), 2, "one of each of the node's own disks");
    let listing = provider.list(ListParams { cluster: CLUSTER.into(), run: None }).await.expect("a list");
    assert_eq!(listing.snapshots.iter().map(|s| &s.id).collect::<Vec<_>>(), [&snapshot.id]);
    let params =
        DeleteParams { mutation: mutation("delete"), target: Deletable::Snapshot(snapshot.id.clone()) };
    settled(async || provider.delete(params.clone()).await).await.expect("it is deleted");
    assert!(site.fake.world().snapshots.is_empty(), "whatever was taken is gone");
}

#[tokio::test]
async fn a_snapshot_that_is_refused_is_asked_for_again_at_once() {
    let site = Site::new(Pace::default()).await;
    site.fake.world().faults.next("CreateSnapshots", Fault::throttled());
    let provider = site.provider(&json!({"consistencySeconds": 3600})).await;
    settled(async || provider.snapshot(on("snapshot", &site.node)).await).await.expect("it is taken");
    assert_eq!(site.fake.world().snapshots.len(), 1);
}

#[tokio::test]
async fn a_restore_that_was_given_up_leaves_disks_that_can_be_found_and_deleted() {
    let site = Site::new(Pace::default()).await;
    let provider = site.provider(&json!({})).await;
    let snapshot =
        settled(async || provider.snapshot(on("snapshot", &site.node)).await).await.expect("it is taken");
    settled(async || provider.stop(on("stop", &site.node)).await).await.expect("it is stopped");
    let params = RestoreParams {
        mutation: mutation("restore"),
        machine: site.node.clone(),
        snapshot: snapshot.id.clone(),
    };
    provider.restore(params).await.expect("a disk is being made");
    let left = settled(async || {
        let listing = provider.list(ListParams { cluster: CLUSTER.into(), run: None }).await?;
        let disk = listing.snapshots.into_iter().find(|s| s.id.as_str().starts_with("vol-"));
        Ok(disk.map_or(
            replank_provider_protocol::verbs::Progress::Pending { message: "no disk is listed".into() },
            |value| replank_provider_protocol::verbs::Progress::Done { value },
        ))
    })
    .await
    .expect("it is listed");
    assert_eq!((&left.machine, left.state), (&site.node, SnapshotState::Failed));
    let params = DeleteParams { mutation: mutation("gc"), target: Deletable::Snapshot(left.id) };
    settled(async || provider.delete(params.clone()).await).await.expect("it is deleted");
    assert_eq!(site.fake.world().volumes.len(), 1);
}

#[tokio::test]
async fn a_name_with_a_wildcard_is_nobodys_snapshot() {
    let site = Site::new(Pace::default()).await;
    let provider = site.provider(&json!({})).await;
    settled(async || provider.snapshot(on("snapshot", &site.node)).await).await.expect("it is taken");
    for name in ["*", "set-*"] {
        let params = DeleteParams { mutation: mutation(name), target: Deletable::Snapshot(name.into()) };
        settled(async || provider.delete(params.clone()).await).await.expect("there is none");
    }
    assert_eq!(site.fake.world().snapshots.len(), 1);
}
