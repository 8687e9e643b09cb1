//! Control planes and their load balancers.

use crate::support::{Site, on, settled};
use replank_ec2_fake::Pace;
use replank_ec2_fake::balancers::{Classic, TargetGroup};
use replank_provider_kit::Provider as _;
use replank_provider_protocol::MachineId;
use replank_provider_protocol::verbs::Progress;
use serde_json::json;
use std::time::Duration;

fn furnish(site: &Site) -> String {
    let mut world = site.fake.world();
    let address = world.instances[site.node.as_str()].address.clone();
    for (name, kind, port, target) in
        [("api", "instance", 6443, site.node.to_string()), ("konnectivity", "ip", 8132, address.clone())]
    {
        let mut group = TargetGroup { kind, port, ..TargetGroup::default() };
        group.targets.insert((target, port), None);
        world.target_groups.insert(name.into(), group);
    }
    world
        .target_groups
        .insert("web".into(), TargetGroup { kind: "instance", port: 80, ..TargetGroup::default() });
    let machines = [(site.node.to_string(), None)].into();
    world.classic.insert("old-api".into(), Classic { machines });
    address
}

fn is_in(site: &Site, machine: &MachineId, address: &str) -> Vec<String> {
    let world = site.fake.world();
    let targets = world
        .target_groups
        .iter()
        .filter(|(_, group)| group.targets.keys().any(|(id, _)| id == machine.as_str() || id == address));
    let classic = world.classic.iter().filter(|(_, classic)| classic.machines.contains_key(machine.as_str()));
    targets.map(|(name, _)| name.clone()).chain(classic.map(|(name, _)| name.clone())).collect()
}

#[tokio::test]
async fn a_machine_leaves_every_balancer_when_its_connections_have_drained() {
    let site = Site::new(Pace { drain: Duration::from_millis(300), ..Pace::default() }).await;
    let address = furnish(&site);
    let provider = site.provider(&json!({})).await;
    let first = provider.deregister(on("out", &site.node)).await.expect("it begins");
    let Progress::Pending { message } = first else { panic!("connections drain first: {first:?}") };
    assert!(message.contains("port 6443 of target group api"), "{message}");
    assert!(message.contains("load balancer old-api"), "{message}");
    let begun = std::time::Instant::now();
    settled(async || provider.deregister(on("out", &site.node)).await).await.expect("it is out");
    assert!(begun.elapsed() > Duration::from_millis(200), "it was done before connections had drained");
    assert_eq!(is_in(&site, &site.node, &address), [""; 0]);
    // Rolled back: it is put where it was, and nowhere else.
    settled(async || provider.register(on("in", &site.node)).await).await.expect("it is in");
    assert_eq!(is_in(&site, &site.node, &address), ["api", "konnectivity", "old-api"]);
}

#[tokio::test]
async fn a_new_machine_is_put_where_the_old_one_is_or_was() {
    for out_first in [false, true] {
        let site = Site::new(Pace::default()).await;
        furnish(&site);
        let provider = site.provider(&json!({})).await;
        if out_first {
            settled(async || provider.deregister(on("out", &site.node)).await).await.expect("it is out");
        }
        let new = site.running(&provider, "cp-1-new").await;
        settled(async || provider.register(on("in", &new.id)).await).await.expect("it is in");
        let address = site.fake.world().instances[new.id.as_str()].address.clone();
        assert_eq!(is_in(&site, &new.id, &address), ["api", "konnectivity", "old-api"], "{out_first}");
    }
}

#[tokio::test]
async fn only_balancers_that_are_named_are_touched() {
    let site = Site::new(Pace::default()).await;
    let address = furnish(&site);
    let only = json!({"loadBalancers": {"targetGroups": ["api"], "classic": []}});
    let provider = site.provider(&only).await;
    settled(async || provider.deregister(on("out", &site.node)).await).await.expect("it is out");
    assert_eq!(is_in(&site, &site.node, &address), ["konnectivity", "old-api"]);
    let world = site.fake.world();
    assert_eq!(world.called("DescribeLoadBalancers"), 0);
}

#[tokio::test]
async fn a_machine_that_does_not_become_healthy_is_waited_for_and_said() {
    let site = Site::new(Pace::default()).await;
    furnish(&site);
    let provider = site.provider(&json!({})).await;
    let new = site.running(&provider, "cp-1-new").await;
    let stop = settled(async || provider.stop(on("stop", &new.id)).await).await;
    stop.expect("it is stopped");
    let waits = provider.register(on("in", &new.id)).await.expect("it is asked for");
    let Progress::Pending { message } = waits else { panic!("a stopped machine is not healthy: {waits:?}") };
    assert!(message.contains("target group api"), "{message}");
}
