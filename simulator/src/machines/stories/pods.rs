//! What becomes of pods on a node.

use std::time::Duration;

use serde_json::json;

use super::world::{World, condition};
use crate::machines::MachineRole;
use crate::machines::api::{core, text};

async fn worker() -> World {
    let world = World::with_control_plane().await;
    world.join("w1", MachineRole::Worker).await;
    world.node("w1").await;
    world.bridge("w1", "10.9.1.0/24");
    world.until("w1 Ready", || async { condition(&world.node("w1").await, "Ready") == "True" }).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_pod_starts_in_order_and_ends_within_its_grace() {
    let world = worker().await;
    let spec = json!({"spec": {
        "initContainers": [{"name": "first", "image": "example/init:1"}],
        "containers": [{"name": "main", "image": "example/web:1", "readinessProbe": {"initialDelaySeconds": 5}}],
        "terminationGracePeriodSeconds": 20,
    }});
    world.start_pod("web", "w1", spec).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let pod = world.pod("default", "web").await.unwrap();
    assert_eq!(text(&pod, "/status/phase"), "Pending");
    world.ready("web").await;
    let pod = world.pod("default", "web").await.unwrap();
    assert_eq!(text(&pod, "/status/phase"), "Running");
    assert_eq!(text(&pod, "/status/podIP"), "10.9.1.2");
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    world.api.delete(&core("default", "pods", "web"), &json!({})).await.unwrap();
    assert!(world.pod("default", "web").await.is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(world.pod("default", "web").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_is_started_again_with_growing_pauses() {
    let world = worker().await;
    let spec = json!({"spec": {"containers": [{"name": "main", "image": "example/web:1", "command": ["sh", "-c", "exit 3"]}]}});
    world.start_pod("crash", "w1", spec).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let pod = world.pod("default", "crash").await.unwrap();
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    // At once, after 10 s, after 20 s: three restarts in the first minute.
    assert_eq!(status["restartCount"], 3);
    let job = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example/job:1"}]}});
    world.start_pod("job", "w1", job).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(text(&world.pod("default", "job").await.unwrap(), "/status/phase"), "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_node_comes_back_only_with_a_new_kubelet_process() {
    let world = worker().await;
    let uid = world.node("w1").await["metadata"]["uid"].clone();
    world.api.delete(&core("", "nodes", "w1"), &json!({})).await.unwrap();
    tokio::time::sleep(Duration::from_secs(75)).await;
    assert!(world.api.find(&core("", "nodes", "w1")).await.unwrap().is_none());
    assert_eq!(world.run("w1", "systemctl restart kubelet").await.0, 0);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let node = world.node("w1").await;
    assert_ne!(node["metadata"]["uid"], uid);
}

#[tokio::test(start_paused = true)]
async fn containers_outlive_a_kubelet_but_not_the_power() {
    let world = worker().await;
    world.start_pod("web", "w1", json!({})).await;
    world.ready("web").await;
    let id = |pod: &serde_json::Value| pod["status"]["containerStatuses"][0]["containerID"].clone();
    let before = id(&world.pod("default", "web").await.unwrap());
    world.run("w1", "systemctl restart kubelet").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(id(&world.pod("default", "web").await.unwrap()), before);
    let machine = world.machine("w1").id;
    world.datacenter.stop(&machine, crate::machines::Caller::default()).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.datacenter.start(&machine, crate::machines::Caller::default()).unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    let after = world.pod("default", "web").await.unwrap();
    assert_ne!(id(&after), before);
    assert_eq!(condition(&after, "Ready"), "True");
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_waited_for_until_it_is_attached() {
    let world = worker().await;
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv1"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "csi.example.com", "volumeHandle": "vol-1"},
        },
    });
    world.api.create("/api/v1/persistentvolumes", &volume).await.unwrap();
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default"},
        "spec": {"volumeName": "pv1", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let claims = core("default", "persistentvolumeclaims", "");
    world.api.create(&claims, &claim).await.unwrap();
    let bound = json!({"status": {"phase": "Bound"}});
    let path = format!("{claims}/data/status");
    world.api.patch(&path, crate::machines::api::Patch::Merge, &bound).await.unwrap();
    let spec = json!({"spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}});
    world.start_pod("db", "w1", spec).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(text(&world.pod("default", "db").await.unwrap(), "/status/phase"), "Pending");
    let unique = "kubernetes.io/csi/csi.example.com^vol-1";
    assert_eq!(world.node("w1").await["status"]["volumesInUse"], json!([unique]));
    let attachment = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": "a1"},
        "spec": {"attacher": "csi.example.com", "nodeName": "w1", "source": {"persistentVolumeName": "pv1"}},
        "status": {"attached": true},
    });
    let attachments = "/apis/storage.k8s.io/v1/volumeattachments";
    world.api.create(attachments, &attachment).await.unwrap();
    let status = json!({"status": {"attached": true}});
    let path = format!("{attachments}/a1/status");
    world.api.patch(&path, crate::machines::api::Patch::Merge, &status).await.unwrap();
    world.ready("db").await;
    world.api.delete(&core("default", "pods", "db"), &json!({})).await.unwrap();
    world
        .until("the volume's release", || async {
            world.node("w1").await["status"]["volumesInUse"] != json!([unique])
        })
        .await;
}
