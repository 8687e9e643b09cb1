//! Deployments, ReplicaSets and DaemonSets.

use super::world::{World, template, workload};
use crate::controllers::objects::{condition_status, number, text};
use crate::schema::builtin::{DAEMON_SETS, DEPLOYMENTS, NODES, PODS, REPLICA_SETS};
use serde_json::json;

fn rolled_out(world: &World, name: &str, replicas: i64) -> bool {
    let Some(found) = world.get(&DEPLOYMENTS, name) else { return false };
    let status = |field: &str| number(&found["status"], field, 0);
    status("/observedGeneration") == number(&found, "/metadata/generation", -1)
        && status("/updatedReplicas") == replicas
        && status("/replicas") == replicas
        && status("/availableReplicas") == replicas
}

#[tokio::test(start_paused = true)]
async fn a_deployment_rolls_out_and_over_without_losing_availability() {
    let world = World::new(&["n1", "n2", "n3"]);
    world.make(&DEPLOYMENTS, "web", workload("web", 4));
    world.until("the rollout", |world| rolled_out(world, "web", 4)).await;
    let deployment = world.get(&DEPLOYMENTS, "web").unwrap();
    assert_eq!(condition_status(&deployment, "Available"), "True");
    assert_eq!(deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    assert_eq!(deployment["status"]["conditions"][1]["reason"], "NewReplicaSetAvailable");

    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
    world.patch(&DEPLOYMENTS, "web", restart);
    world
        .until("the second rollout", |world| {
            let status = world.status(&DEPLOYMENTS, "web");
            assert!(number(&status, "/availableReplicas", 0) >= 3, "{status}");
            assert!(number(&status, "/replicas", 0) <= 5, "{status}");
            rolled_out(world, "web", 4)
        })
        .await;
    let sets = world.direct.list(&REPLICA_SETS, Some("default"));
    assert_eq!(sets.len(), 2);
    let revision = "/metadata/annotations/deployment.kubernetes.io~1revision";
    assert_eq!(text(&world.get(&DEPLOYMENTS, "web").unwrap(), revision), "2");

    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"replicas": 2}}));
    world.until("the scale-down", |world| rolled_out(world, "web", 2)).await;
    assert_eq!(world.pods("web").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_recreate_ends_all_old_pods_first() {
    let world = World::new(&["n1"]);
    let mut spec = workload("web", 3);
    spec["strategy"] = json!({"type": "Recreate"});
    world.make(&DEPLOYMENTS, "web", spec);
    world.until("the rollout", |world| rolled_out(world, "web", 3)).await;
    let change = json!({"spec": {"template": {"metadata": {"labels": {"version": "2"}}}}});
    world.patch(&DEPLOYMENTS, "web", change);
    world
        .until("the second rollout", |world| {
            let all = world.direct.list(&PODS, Some("default"));
            let new = all.iter().filter(|pod| pod["metadata"]["labels"]["version"] == "2").count();
            assert!(new == 0 || new == all.len(), "old and new pods side by side");
            rolled_out(world, "web", 3)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_gets_stuck_says_so_and_keeps_the_old_pods() {
    let world = World::new(&["n1"]);
    let mut spec = workload("web", 2);
    spec["progressDeadlineSeconds"] = json!(60);
    world.make(&DEPLOYMENTS, "web", spec);
    world.until("the rollout", |world| rolled_out(world, "web", 2)).await;
    let image = json!([{"name": "main", "image": "example/never-ready:1"}]);
    world.patch(&DEPLOYMENTS, "web", json!({"spec": {"template": {"spec": {"containers": image}}}}));
    world
        .until("the deadline", |world| {
            let deployment = world.get(&DEPLOYMENTS, "web").unwrap();
            condition_status(&deployment, "Progressing") == "False"
        })
        .await;
    assert_eq!(world.status(&DEPLOYMENTS, "web")["availableReplicas"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_replica_set_adopts_what_matches() {
    let world = World::new(&["n1"]);
    let pod = template("web");
    let orphan = json!({"metadata": {"name": "orphan", "namespace": "default", "labels": {"app": "web"}}, "spec": pod["spec"]});
    world.create(&PODS, orphan);
    world.make(&REPLICA_SETS, "web", workload("web", 2));
    world.until("two pods", |world| world.status(&REPLICA_SETS, "web")["readyReplicas"] == 2).await;
    assert_eq!(world.pods("web").len(), 2);
    let orphan = world.get(&PODS, "orphan").unwrap();
    assert_eq!(orphan["metadata"]["ownerReferences"][0]["name"], "web");
}

fn daemon(change: serde_json::Value) -> serde_json::Value {
    let mut spec = workload("agent", 0);
    spec.as_object_mut().unwrap().remove("replicas");
    json_patch::merge(&mut spec, &change);
    spec
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_follows_labels_and_taints_of_nodes() {
    let world = World::new(&["n1", "n2"]);
    world.add_node("n3", json!({"spec": {"taints": [{"key": "own", "effect": "NoSchedule"}]}}));
    world.make(&DAEMON_SETS, "agent", daemon(json!({})));
    world.until("two pods", |world| world.status(&DAEMON_SETS, "agent")["numberAvailable"] == 2).await;
    assert_eq!(world.nodes_of("agent"), ["n1", "n2"]);

    // Cordoned nodes get their daemons all the same.
    world.add_node("n4", json!({"spec": {"unschedulable": true}}));
    world.until("the third", |world| world.nodes_of("agent") == ["n1", "n2", "n4"]).await;

    let selector = json!({"spec": {"template": {"spec": {"nodeSelector": {"net": "new"}}}}});
    world.patch(&DAEMON_SETS, "agent", selector);
    world.until("no pods", |world| world.pods("agent").is_empty()).await;
    world.patch(&NODES, "n2", json!({"metadata": {"labels": {"net": "new"}}}));
    world.until("one pod", |world| world.nodes_of("agent") == ["n2"]).await;
    world
        .until("its status", |world| {
            let status = world.status(&DAEMON_SETS, "agent");
            status["desiredNumberScheduled"] == 1 && status["updatedNumberScheduled"] == 1
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_updates_one_node_after_the_other_or_when_told() {
    let world = World::new(&["n1", "n2", "n3"]);
    world.make(&DAEMON_SETS, "agent", daemon(json!({})));
    let ready = |world: &World| world.status(&DAEMON_SETS, "agent")["numberAvailable"] == 3;
    world.until("three pods", ready).await;
    world.patch(&DAEMON_SETS, "agent", json!({"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}}));
    world
        .until("the update", |world| {
            let status = world.status(&DAEMON_SETS, "agent");
            assert!(number(&status, "/numberAvailable", 0) >= 2, "{status}");
            number(&status, "/updatedNumberScheduled", 0) == 3 && ready(world)
        })
        .await;

    let surge = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    world.patch(&DAEMON_SETS, "agent", json!({"spec": {"updateStrategy": surge}}));
    world.patch(&DAEMON_SETS, "agent", json!({"spec": {"template": {"metadata": {"labels": {"v": "3"}}}}}));
    world
        .until("the update with a surge", |world| {
            let status = world.status(&DAEMON_SETS, "agent");
            assert_eq!(number(&status, "/numberAvailable", 0), 3, "{status}");
            world.pods("agent").iter().all(|pod| pod["metadata"]["labels"]["v"] == "3")
        })
        .await;

    world.patch(
        &DAEMON_SETS,
        "agent",
        json!({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}}),
    );
    world.patch(&DAEMON_SETS, "agent", json!({"spec": {"template": {"metadata": {"labels": {"v": "4"}}}}}));
    world.rest(30).await;
    assert!(world.pods("agent").iter().all(|pod| pod["metadata"]["labels"]["v"] == "3"));
    let name = text(&world.pods("agent")[0], "/metadata/name").to_owned();
    world.delete(&PODS, &name);
    world
        .until("one new pod", |world| {
            world.pods("agent").iter().filter(|pod| pod["metadata"]["labels"]["v"] == "4").count() == 1
        })
        .await;
}
