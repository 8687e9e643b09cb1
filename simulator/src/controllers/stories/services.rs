//! Endpoints and EndpointSlices.

use super::world::{World, workload};
use crate::controllers::objects::{items, text};
use crate::schema::builtin::{DEPLOYMENTS, ENDPOINT_SLICES, ENDPOINTS, SERVICES};
use crate::server::Object;
use serde_json::json;

fn slices(world: &World) -> Vec<Object> {
    let mut all = world.direct.list(&ENDPOINT_SLICES, Some("default"));
    all.retain(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == "web");
    all
}

fn ready(world: &World) -> usize {
    let all = slices(world);
    let endpoints = all.iter().flat_map(|slice| items(slice, "/endpoints"));
    endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true).count()
}

#[tokio::test(start_paused = true)]
async fn a_service_follows_its_ready_pods() {
    let world = World::new(&["n1", "n2"]);
    let spec = json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]});
    world.make(&SERVICES, "web", spec);
    world.until("an empty slice", |world| slices(world).len() == 1).await;
    let mut workload = workload("web", 3);
    workload["template"]["spec"]["containers"][0]["ports"] = json!([{"name": "http", "containerPort": 8080}]);
    world.make(&DEPLOYMENTS, "web", workload);
    world.until("three endpoints", |world| ready(world) == 3).await;
    let all = slices(&world);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["ports"], json!([{"name": "", "port": 8080, "protocol": "TCP"}]));
    assert_eq!(text(&all[0], "/endpoints/0/targetRef/kind"), "Pod");
    let old = world.get(&ENDPOINTS, "web").unwrap();
    assert_eq!(items(&old, "/subsets/0/addresses").len(), 3);

    let image = json!([{"name": "main", "image": "example/never-ready:1", "ports": [{"name": "http", "containerPort": 9090}]}]);
    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"template": {"spec": {"containers": image}}}}));
    world.rest(5).await;
    // The new pod serves another port, which takes a slice of its own, and is not ready.
    assert!(ready(&world) >= 2);
    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"replicas": 0}}));
    world
        .until("nothing behind it", |world| {
            let one_empty = slices(world).len() == 1 && items(&slices(world)[0], "/endpoints").is_empty();
            one_empty && world.get(&ENDPOINTS, "web").is_some_and(|old| items(&old, "/subsets").is_empty())
        })
        .await;
    world.delete(&SERVICES, "web");
    world.until("its end", |world| slices(world).is_empty() && world.get(&ENDPOINTS, "web").is_none()).await;
}
