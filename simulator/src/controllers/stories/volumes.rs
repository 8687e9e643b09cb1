//! Claims, volumes and attachments.

use super::world::{World, template};
use crate::controllers::objects::text;
use crate::schema::builtin::{
    NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES, VOLUME_ATTACHMENTS,
};
use crate::server::Subresource;
use serde_json::{Value, json};

/// A class of volumes of a CSI driver.
pub(super) fn class(world: &World, name: &str, mode: &str) {
    let class = json!({
        "metadata": {"name": name}, "provisioner": "csi.example.com", "volumeBindingMode": mode,
        "reclaimPolicy": "Delete",
    });
    world.create(&STORAGE_CLASSES, class);
}

fn claim(world: &World, name: &str, class: &str) {
    let size = json!({"requests": {"storage": "1Gi"}});
    let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": size});
    world.make(&PERSISTENT_VOLUME_CLAIMS, name, spec);
}

fn user(world: &World, name: &str, claim: &str, node: &str) {
    let mut spec = template("db")["spec"].clone();
    spec["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]);
    if !node.is_empty() {
        spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    }
    let metadata = json!({"name": name, "namespace": "default", "labels": {"app": "db"}});
    world.create(&PODS, json!({"metadata": metadata, "spec": spec}));
}

fn attached(world: &World) -> Vec<String> {
    let all = world.direct.list(&VOLUME_ATTACHMENTS, None);
    let done = all.iter().filter(|one| one["status"]["attached"] == true);
    done.map(|one| text(one, "/spec/nodeName").to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_made_where_the_pod_goes_and_moves_with_it() {
    let world = World::new(&["n1", "n2"]);
    class(&world, "fast", "WaitForFirstConsumer");
    claim(&world, "data", "fast");
    world.rest(5).await;
    assert_eq!(world.status(&PERSISTENT_VOLUME_CLAIMS, "data")["phase"], "Pending");
    user(&world, "db", "data", "n1");
    world.until("its attachment", |world| attached(world) == ["n1"]).await;
    let claimed = world.get(&PERSISTENT_VOLUME_CLAIMS, "data").unwrap();
    assert_eq!(text(&claimed, "/metadata/annotations/volume.kubernetes.io~1selected-node"), "n1");

    // A second user elsewhere waits until the first is gone and its node lets go.
    let volume = text(&claimed, "/spec/volumeName").to_owned();
    let csi = world.get(&PERSISTENT_VOLUMES, &volume).unwrap()["spec"]["csi"].clone();
    let unique = format!("kubernetes.io/csi/{}^{}", text(&csi, "/driver"), text(&csi, "/volumeHandle"));
    let used = |list: Value| {
        let patch = json!({"status": {"volumesInUse": list}});
        world.direct.merge_patch(&NODES, "", "n1", Subresource::Status, patch).unwrap();
    };
    used(json!([unique]));
    user(&world, "db2", "data", "n2");
    world.delete(&PODS, "db");
    world.rest(60).await;
    assert_eq!(attached(&world), ["n1"]);
    used(json!([]));
    world.until("the move", |world| attached(world) == ["n2"]).await;

    world.delete(&PODS, "db2");
    world.until("no attachment", |world| attached(world).is_empty()).await;
    world.delete(&PERSISTENT_VOLUME_CLAIMS, "data");
    world.until("no volume", |world| world.get(&PERSISTENT_VOLUMES, &volume).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_volume_of_a_vanished_node_is_taken_by_force_after_six_minutes() {
    let world = World::new(&["n1", "n2"]);
    class(&world, "fast", "Immediate");
    claim(&world, "data", "fast");
    user(&world, "db", "data", "n1");
    world.until("its attachment", |world| attached(world) == ["n1"]).await;
    let name = text(&world.get(&PERSISTENT_VOLUME_CLAIMS, "data").unwrap(), "/spec/volumeName").to_owned();
    let csi = world.get(&PERSISTENT_VOLUMES, &name).unwrap()["spec"]["csi"].clone();
    let unique = format!("kubernetes.io/csi/{}^{}", text(&csi, "/driver"), text(&csi, "/volumeHandle"));
    let patch = json!({"status": {"volumesInUse": [unique]}});
    world.direct.merge_patch(&NODES, "", "n1", Subresource::Status, patch).unwrap();
    world.silence("n1");
    world.delete(&NODES, "n1");
    world.until("the pod's end", |world| world.get(&PODS, "db").is_none()).await;
    world.rest(355).await;
    assert_eq!(attached(&world), ["n1"]);
    world.rest(10).await;
    assert!(attached(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_local_volume_ties_its_pod_to_its_node() {
    let world = World::new(&["n1", "n2", "n3"]);
    let term =
        json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]});
    let volume = json!({
        "metadata": {"name": "local"},
        "spec": {
            "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
            "local": {"path": "/data"}, "persistentVolumeReclaimPolicy": "Retain",
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        },
    });
    world.create(&PERSISTENT_VOLUMES, volume);
    claim(&world, "data", "local");
    user(&world, "db", "data", "");
    world.until("its node", |world| world.nodes_of("db") == ["n2"]).await;
    assert!(attached(&world).is_empty());
    world.delete(&PODS, "db");
    world.delete(&PERSISTENT_VOLUME_CLAIMS, "data");
    world
        .until("the release", |world| world.status(&PERSISTENT_VOLUMES, "local")["phase"] == "Released")
        .await;
}
