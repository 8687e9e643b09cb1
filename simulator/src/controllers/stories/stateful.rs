//! StatefulSets.

use super::world::{World, workload};
use crate::controllers::objects::{name_of, number};
use crate::controllers::workloads::pods::is_ready;
use crate::schema::builtin::{PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS};
use serde_json::{Value, json};

fn names(world: &World) -> Vec<String> {
    world.pods("db").iter().map(|pod| name_of(pod).to_owned()).collect()
}

fn spec(change: &Value) -> Value {
    let mut spec = workload("db", 3);
    spec["serviceName"] = json!("db");
    json_patch::merge(&mut spec, change);
    spec
}

fn versions(world: &World) -> Vec<String> {
    let version = |pod: &Value| pod["metadata"]["labels"]["v"].as_str().unwrap_or("1").to_owned();
    world.pods("db").iter().map(|pod| version(pod)).collect()
}

#[tokio::test(start_paused = true)]
async fn pods_come_in_order_and_go_from_the_end() {
    let world = World::new(&["n1", "n2"]);
    world.make(&STATEFUL_SETS, "db", spec(&json!({})));
    world
        .until("three pods", |world| {
            let pods = world.pods("db");
            let waiting = pods.iter().filter(|pod| !is_ready(pod)).count();
            assert!(waiting <= 1, "one after the other");
            world.status(&STATEFUL_SETS, "db")["availableReplicas"] == 3
        })
        .await;
    assert_eq!(names(&world), ["db-0", "db-1", "db-2"]);
    let pod = world.get(&PODS, "db-1").unwrap();
    assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("db-1"), &json!("db")));

    // A pod that is gone comes back under its name.
    let before = pod["metadata"]["uid"].clone();
    world.delete(&PODS, "db-1");
    world
        .until("its return", |world| {
            let pod = world.get(&PODS, "db-1");
            pod.is_some_and(|pod| is_ready(&pod) && pod["metadata"]["uid"] != before)
        })
        .await;
    world.patch(&STATEFUL_SETS, "db", json!({"spec": {"replicas": 1}}));
    world
        .until("one pod", |world| {
            assert!(names(world).contains(&"db-0".to_owned()));
            world.status(&STATEFUL_SETS, "db")["replicas"] == 1
        })
        .await;
    assert_eq!(names(&world), ["db-0"]);
}

#[tokio::test(start_paused = true)]
async fn an_update_goes_from_the_end_down_to_the_partition() {
    let world = World::new(&["n1"]);
    let partition = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}});
    world.make(&STATEFUL_SETS, "db", spec(&partition));
    let ready = |world: &World| world.status(&STATEFUL_SETS, "db")["readyReplicas"] == 3;
    world.until("three pods", ready).await;
    world.patch(&STATEFUL_SETS, "db", json!({"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}}));
    world
        .until("two new ones", |world| {
            assert!(number(&world.status(&STATEFUL_SETS, "db"), "/readyReplicas", 0) >= 2);
            ready(world) && versions(world) == ["1", "2", "2"]
        })
        .await;
    // Below the partition a new pod still is an old one.
    world.delete(&PODS, "db-0");
    world.until("db-0", |world| ready(world) && versions(world) == ["1", "2", "2"]).await;
    let status = world.status(&STATEFUL_SETS, "db");
    assert_ne!(status["currentRevision"], status["updateRevision"]);

    let all = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}});
    world.patch(&STATEFUL_SETS, "db", all);
    world
        .until("all new", |world| {
            let status = world.status(&STATEFUL_SETS, "db");
            versions(world) == ["2", "2", "2"] && status["currentRevision"] == status["updateRevision"]
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn claims_outlive_their_pods() {
    let world = World::new(&["n1"]);
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "fast"},
    });
    super::volumes::class(&world, "fast", "Immediate");
    let change = json!({"volumeClaimTemplates": [claim], "podManagementPolicy": "Parallel"});
    world.make(&STATEFUL_SETS, "db", spec(&change));
    world.until("three pods", |world| world.status(&STATEFUL_SETS, "db")["readyReplicas"] == 3).await;
    assert_eq!(world.status(&PERSISTENT_VOLUME_CLAIMS, "data-db-2")["phase"], "Bound");
    world.delete(&STATEFUL_SETS, "db");
    world.until("no pods", |world| world.pods("db").is_empty()).await;
    assert!(world.get(&PERSISTENT_VOLUME_CLAIMS, "data-db-2").is_some());
}
