//! Which pod goes where, and why some go nowhere.

use super::world::{World, template, workload};
use crate::controllers::objects::{condition, condition_status, text};
use crate::schema::builtin::{DEPLOYMENTS, NODES, PODS};
use serde_json::{Value, json};

fn pod(world: &World, name: &str, change: Value) {
    let mut spec = template("web")["spec"].clone();
    json_patch::merge(&mut spec, &change);
    world.create(
        &PODS,
        json!({"metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}}, "spec": spec}),
    );
}

fn ask(cpu: &str) -> Value {
    json!({"containers": [{"name": "main", "image": "example/web:1", "resources": {"requests": {"cpu": cpu}}}]})
}

fn why(world: &World, name: &str) -> String {
    let pod = world.get(&PODS, name).unwrap();
    condition(&pod, "PodScheduled").map_or("", |one| text(one, "/message")).to_owned()
}

#[tokio::test(start_paused = true)]
async fn pods_spread_evenly_over_nodes() {
    let world = World::new(&["n1", "n2", "n3"]);
    world.make(&DEPLOYMENTS, "web", workload("web", 6));
    world.until("all bound", |world| world.nodes_of("web") == ["n1", "n1", "n2", "n2", "n3", "n3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_a_node_says_why_and_goes_once_there_is_room() {
    let world = World::new(&["n1", "n2"]);
    let taint = json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]);
    world.add_node("cp1", json!({"spec": {"taints": taint}}));
    world.patch(&NODES, "n2", json!({"spec": {"unschedulable": true}}));
    pod(&world, "big", ask("9"));
    world.until("its refusal", |world| !why(world, "big").is_empty()).await;
    assert_eq!(
        why(&world, "big"),
        "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint \
         {node-role.kubernetes.io/control-plane: }, 1 node(s) were unschedulable. preemption: 0/3 nodes are \
         available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."
    );
    world.add_node("n4", json!({"status": {"allocatable": {"cpu": "16"}}}));
    world
        .until("its node", |world| condition_status(&world.get(&PODS, "big").unwrap(), "Ready") == "True")
        .await;
    assert_eq!(world.nodes_of("web"), ["n4"]);
}

#[tokio::test(start_paused = true)]
async fn preferences_give_way_and_requirements_do_not() {
    let world = World::new(&["n2"]);
    let soft = json!([{"key": "old", "effect": "PreferNoSchedule"}]);
    world.add_node("n1", json!({"spec": {"taints": soft}}));
    for name in ["a", "b", "c"] {
        pod(&world, name, ask("3"));
    }
    world.until("all bound", |world| world.nodes_of("web") == ["n1", "n2", "n2"]).await;
    pod(&world, "d", json!({"nodeSelector": {"disk": "fast"}}));
    world.until("a refusal", |world| why(world, "d").contains("didn't match Pod's node affinity")).await;
    world.patch(&NODES, "n1", json!({"metadata": {"labels": {"disk": "fast"}}}));
    world.until("d", |world| world.get(&PODS, "d").unwrap()["spec"]["nodeName"] == "n1").await;
}

#[tokio::test(start_paused = true)]
async fn anti_affinity_and_hard_spread_keep_pods_apart() {
    let world = World::new(&["n1", "n2"]);
    let term =
        json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}});
    let apart =
        json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
    pod(&world, "a", apart.clone());
    pod(&world, "b", apart.clone());
    world.until("two nodes", |world| world.nodes_of("web") == ["n1", "n2"]).await;
    pod(&world, "c", apart);
    world.until("a refusal", |world| why(world, "c").contains("didn't match pod anti-affinity rules")).await;
    pod(&world, "d", json!({}));
    world
        .until("a refusal", |world| why(world, "d").contains("didn't satisfy existing pods anti-affinity"))
        .await;

    let world = World::new(&[]);
    world.add_node("n1", json!({"metadata": {"labels": {"zone": "a"}}}));
    world.add_node("n2", json!({"metadata": {"labels": {"zone": "b"}}, "spec": {"unschedulable": true}}));
    let even = json!([{
        "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }]);
    let spec = json!({"topologySpreadConstraints": even});
    pod(&world, "a", spec.clone());
    world.until("one", |world| world.nodes_of("web") == ["n1"]).await;
    pod(&world, "b", spec);
    world
        .until("a refusal", |world| why(world, "b").contains("didn't match pod topology spread constraints"))
        .await;
    world.patch(&NODES, "n2", json!({"spec": {"unschedulable": null}}));
    world.until("two", |world| world.nodes_of("web") == ["n1", "n2"]).await;
}

#[tokio::test(start_paused = true)]
async fn host_ports_are_taken_once_per_node() {
    let world = World::new(&["n1"]);
    let spec = json!({"containers": [{"name": "main", "image": "example/web:1", "ports": [{"containerPort": 80, "hostPort": 80}]}]});
    pod(&world, "a", spec.clone());
    world.until("one", |world| world.nodes_of("web") == ["n1"]).await;
    pod(&world, "b", spec);
    world.until("a refusal", |world| why(world, "b").contains("free ports")).await;
    world.delete(&PODS, "a");
    world.until("b", |world| world.get(&PODS, "b").unwrap()["spec"]["nodeName"] == "n1").await;
}
