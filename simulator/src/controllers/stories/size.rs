//! Many nodes and pods. (Three thousand pods take as long as this in an optimised build.)

use super::world::{World, workload};
use crate::schema::builtin::DEPLOYMENTS;

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_spread_over_a_hundred_nodes() {
    let names: Vec<String> = (0..100).map(|at| format!("n{at:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&names);
    for at in 0..20 {
        let name = format!("web-{at}");
        world.make(&DEPLOYMENTS, &name, workload(&name, 50));
    }
    world
        .until("all available", |world| {
            let all = world.direct.list(&DEPLOYMENTS, Some("default"));
            all.iter().all(|one| one["status"]["availableReplicas"] == 50)
        })
        .await;
    let counts: Vec<usize> = names.iter().map(|name| world.direct.pods_on_node(name).len()).collect();
    assert!(counts.iter().all(|count| (9..=11).contains(count)), "{counts:?}");
    // A few writes for each pod, and none in vain.
    assert!(world.server.revision() < 6000, "{}", world.server.revision());
}
