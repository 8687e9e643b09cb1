//! Create and replace.

use super::cases;
use crate::peer::{Peer, map, pod, refused, text};
use serde_json::json;

cases![
    a_new_object_has_an_identity,
    a_name_is_taken_once,
    a_name_can_be_generated,
    a_missing_namespace_refuses,
    a_bad_name_is_refused_with_its_field,
    a_new_object_brings_no_version,
    a_stale_version_is_a_conflict,
    a_replacement_without_a_version_goes_through,
    a_lease_needs_a_version,
    another_incarnation_is_a_conflict,
    unknown_fields_are_dropped,
    unknown_fields_are_refused_where_asked,
    a_dry_run_leaves_nothing,
    a_change_that_changes_nothing_keeps_the_version,
    the_generation_counts_changes_of_the_spec,
    a_status_is_written_at_its_own_address,
    a_required_field_is_missed,
    immutable_fields_are_refused,
    pods_are_bound_once,
    a_scale_is_read_and_written,
    what_is_no_object_is_refused,
    labels_are_a_map,
    a_number_fits_its_field,
    a_dry_run_is_of_all_stages,
];

async fn collection(peer: &Peer, plural: &str) -> String {
    format!("/api/v1/namespaces/{}/{plural}", peer.namespace().await)
}

async fn a_new_object_has_an_identity(peer: &Peer) {
    let made = peer.made(&collection(peer, "configmaps").await, &map("m", json!({}))).await;
    assert_eq!(text(&made, "/metadata/uid").len(), 36);
    assert!(text(&made, "/metadata/creationTimestamp").ends_with('Z'));
    assert!(text(&made, "/metadata/resourceVersion").parse::<u64>().is_ok());
    assert_eq!((text(&made, "/apiVersion"), text(&made, "/kind")), ("v1", "ConfigMap"));
}

async fn a_name_is_taken_once(peer: &Peer) {
    let maps = collection(peer, "configmaps").await;
    peer.made(&maps, &map("m", json!({}))).await;
    let error = refused(peer.create(&maps, &map("m", json!({}))).await);
    assert_eq!((error.code, error.reason.as_str()), (409, "AlreadyExists"));
    assert_eq!(error.message, "configmaps \"m\" already exists");
}

async fn a_name_can_be_generated(peer: &Peer) {
    let maps = collection(peer, "configmaps").await;
    let made = peer.made(&maps, &json!({"metadata": {"generateName": "m-"}})).await;
    assert_eq!(text(&made, "/metadata/name").len(), "m-".len() + 5);
}

async fn a_missing_namespace_refuses(peer: &Peer) {
    let error = refused(peer.create("/api/v1/namespaces/nowhere/configmaps", &map("m", json!({}))).await);
    assert_eq!((error.code, error.message.as_str()), (404, "namespaces \"nowhere\" not found"));
}

async fn a_bad_name_is_refused_with_its_field(peer: &Peer) {
    let error = refused(peer.create(&collection(peer, "configmaps").await, &map("M_", json!({}))).await);
    assert_eq!((error.code, error.reason.as_str()), (422, "Invalid"));
    assert_eq!(error.causes[0].0, "FieldValueInvalid");
}

async fn a_new_object_brings_no_version(peer: &Peer) {
    let maps = collection(peer, "configmaps").await;
    let error =
        refused(peer.create(&maps, &json!({"metadata": {"name": "m", "resourceVersion": "1"}})).await);
    assert_eq!(error.message, "resourceVersion should not be set on objects to be created");
}

async fn a_stale_version_is_a_conflict(peer: &Peer) {
    let maps = collection(peer, "configmaps").await;
    let mut stale = peer.made(&maps, &map("m", json!({}))).await;
    let path = format!("{maps}/m");
    peer.merge(&path, &json!({"data": {"a": "1"}})).await.unwrap();
    stale["data"] = json!({"a": "2"});
    let error = refused(peer.put(&path, &stale).await);
    assert_eq!((error.code, error.reason.as_str()), (409, "Conflict"));
    assert!(error.is_lost_race(), "{error:?}");
}

async fn a_replacement_without_a_version_goes_through(peer: &Peer) {
    let maps = collection(peer, "configmaps").await;
    peer.made(&maps, &map("m", json!({"a": "1"}))).await;
    let after = peer.put(&format!("{maps}/m"), &map("m", json!({"b": "2"}))).await.unwrap();
    assert_eq!(after["data"], json!({"b": "2"}));
}

async fn a_lease_needs_a_version(peer: &Peer) {
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", peer.namespace().await);
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}});
    peer.made(&leases, &lease).await;
    let error = refused(peer.put(&format!("{leases}/l"), &lease).await);
    assert_eq!((error.code, error.reason.as_str()), (422, "Invalid"));
    assert!(error.message.contains("metadata.resourceVersion"), "{}", error.message);
}

async fn another_incarnation_is_a_conflict(peer: &Peer) {
    let maps = collection(peer, "configmaps").await;
    let first = peer.made(&maps, &map("m", json!({}))).await;
    let path = format!("{maps}/m");
    peer.delete(&path, &json!({})).await.unwrap();
    peer.made(&maps, &map("m", json!({}))).await;
    let mut other = map("m", json!({"a": "1"}));
    other["metadata"]["uid"] = first["metadata"]["uid"].clone();
    let error = refused(peer.put(&path, &other).await);
    assert_eq!((error.code, error.reason.as_str()), (409, "Conflict"));
    assert!(error.message.contains("Precondition failed: UID in precondition"), "{}", error.message);
    assert!(!error.is_lost_race());
}

async fn unknown_fields_are_dropped(peer: &Peer) {
    let mut pod = pod("p");
    pod["spec"]["colour"] = json!("red");
    let made = peer.made(&collection(peer, "pods").await, &pod).await;
    assert!(made["spec"].get("colour").is_none());
}

async fn unknown_fields_are_refused_where_asked(peer: &Peer) {
    let mut pod = pod("p");
    pod["spec"]["colour"] = json!("red");
    let pods = collection(peer, "pods").await;
    let error = refused(peer.create(&format!("{pods}?fieldValidation=Strict"), &pod).await);
    assert_eq!((error.code, error.reason.as_str()), (400, "BadRequest"));
    assert!(error.message.contains("unknown field \"spec.colour\""), "{}", error.message);
}

async fn a_dry_run_leaves_nothing(peer: &Peer) {
    let maps = collection(peer, "configmaps").await;
    let made = peer.made(&format!("{maps}?dryRun=All"), &map("m", json!({}))).await;
    assert_eq!(text(&made, "/metadata/uid").len(), 36);
    assert_eq!(peer.find(&format!("{maps}/m")).await, None);
    peer.made(&maps, &map("m", json!({"a": "1"}))).await;
    let path = format!("{maps}/m");
    let patched = peer.merge(&format!("{path}?dryRun=All"), &json!({"data": {"a": "2"}})).await.unwrap();
    assert_eq!(patched["data"]["a"], "2");
    peer.delete(&path, &json!({"dryRun": ["All"]})).await.unwrap();
    assert_eq!(peer.get(&path).await["data"]["a"], "1");
}

async fn a_change_that_changes_nothing_keeps_the_version(peer: &Peer) {
    let maps = collection(peer, "configmaps").await;
    let made = peer.made(&maps, &map("m", json!({"a": "1"}))).await;
    let path = format!("{maps}/m");
    let put = peer.put(&path, &made).await.unwrap();
    let merged = peer.merge(&path, &json!({"data": {"a": "1"}})).await.unwrap();
    for after in [put, merged] {
        assert_eq!(after["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    }
}

async fn the_generation_counts_changes_of_the_spec(peer: &Peer) {
    let sets = format!("/apis/apps/v1/namespaces/{}/deployments", peer.namespace().await);
    let made = peer.made(&sets, &deployment(0)).await;
    assert_eq!(made["metadata"]["generation"], 1);
    let path = format!("{sets}/d");
    let labelled = peer.merge(&path, &json!({"metadata": {"labels": {"x": "y"}}})).await.unwrap();
    assert_eq!(labelled["metadata"]["generation"], 1);
    let changed = peer.merge(&path, &json!({"spec": {"paused": true}})).await.unwrap();
    assert_eq!(changed["metadata"]["generation"], 2);
}

fn deployment(replicas: u32) -> serde_json::Value {
    json!({
        "metadata": {"name": "d"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
            },
        },
    })
}

async fn a_status_is_written_at_its_own_address(peer: &Peer) {
    let (path, _) = peer.node(json!({})).await;
    let both = json!({"spec": {"unschedulable": true}, "status": {"allocatable": {"cpu": "3"}}});
    peer.merge(&path, &both).await.unwrap();
    let node = peer.get(&path).await;
    assert_eq!(node["spec"]["unschedulable"], true);
    assert_ne!(text(&node, "/status/allocatable/cpu"), "3");
    let both = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"unschedulable": null}, "status": {"allocatable": {"cpu": "3"}}});
    peer.merge(&format!("{path}/status"), &both).await.unwrap();
    let node = peer.get(&path).await;
    assert_eq!(node["spec"]["unschedulable"], true);
    assert_eq!(text(&node, "/status/allocatable/cpu"), "3");
}

async fn a_required_field_is_missed(peer: &Peer) {
    let pods = collection(peer, "pods").await;
    let error =
        refused(peer.create(&pods, &json!({"metadata": {"name": "p"}, "spec": {"containers": []}})).await);
    assert_eq!((error.code, error.reason.as_str()), (422, "Invalid"));
    assert!(error.causes.iter().any(|(reason, _)| reason == "FieldValueRequired"), "{error:?}");
}

async fn immutable_fields_are_refused(peer: &Peer) {
    let sets = format!("/apis/apps/v1/namespaces/{}/deployments", peer.namespace().await);
    peer.made(&sets, &deployment(0)).await;
    let change = json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}});
    let error = refused(peer.merge(&format!("{sets}/d"), &change).await);
    assert_eq!((error.code, error.reason.as_str()), (422, "Invalid"));
}

async fn pods_are_bound_once(peer: &Peer) {
    let pods = collection(peer, "pods").await;
    let mut nowhere = pod("p");
    nowhere["spec"]["nodeSelector"] = json!({"contract.example/nowhere": "true"});
    peer.made(&pods, &nowhere).await;
    let (_, node) = peer.node(json!({})).await;
    let bind = json!({
        "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": node["metadata"]["name"]},
    });
    let at = format!("{pods}/p/binding");
    peer.made(&at, &bind).await;
    assert_eq!(peer.get(&format!("{pods}/p")).await["spec"]["nodeName"], node["metadata"]["name"]);
    assert_eq!(refused(peer.create(&at, &bind).await).code, 409);
}

async fn a_scale_is_read_and_written(peer: &Peer) {
    let sets = format!("/apis/apps/v1/namespaces/{}/deployments", peer.namespace().await);
    peer.made(&sets, &deployment(0)).await;
    let scale = peer.get(&format!("{sets}/d/scale")).await;
    assert_eq!((text(&scale, "/kind"), &scale["spec"]), ("Scale", &json!({})), "0 is left out");
    assert_eq!(text(&scale, "/status/selector"), "app=d");
    let patch = json!({"spec": {"replicas": 1}});
    peer.merge(&format!("{sets}/d/scale"), &patch).await.unwrap();
    assert_eq!(peer.get(&format!("{sets}/d")).await["spec"]["replicas"], 1);
}

async fn what_is_no_object_is_refused(peer: &Peer) {
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    for path in [reviews, &collection(peer, "configmaps").await] {
        for body in [json!([]), json!(5), json!("text")] {
            assert_eq!(refused(peer.create(path, &body).await).code, 400, "{path}: {body}");
        }
    }
    peer.get("/api/v1/namespaces/default").await;
}

async fn labels_are_a_map(peer: &Peer) {
    let namespace = json!({"metadata": {"name": peer.name("contract"), "labels": "foo"}});
    assert_eq!(refused(peer.create("/api/v1/namespaces", &namespace).await).code, 400);
    peer.get("/api/v1/namespaces/default").await;
}

async fn a_number_fits_its_field(peer: &Peer) {
    let pods = collection(peer, "pods").await;
    let mut waits = pod("p");
    let probe = json!({"initialDelaySeconds": i64::MAX, "tcpSocket": {"port": 80}});
    waits["spec"]["containers"][0]["readinessProbe"] = probe;
    assert_eq!(refused(peer.create(&pods, &waits).await).code, 400);
    // This one has the room.
    let mut stays = pod("p");
    let toleration = json!({"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": i64::MAX});
    stays["spec"]["tolerations"] = json!([toleration]);
    peer.made(&pods, &stays).await;
}

async fn a_dry_run_is_of_all_stages(peer: &Peer) {
    let maps = collection(peer, "configmaps").await;
    let error = refused(peer.create(&format!("{maps}?dryRun=foo"), &map("m", json!({}))).await);
    assert_eq!((error.code, error.reason.as_str()), (422, "Invalid"));
    assert!(error.message.contains("supported values: \"All\""), "{}", error.message);
    peer.made(&maps, &map("m", json!({}))).await;
    let error = refused(peer.delete(&format!("{maps}/m"), &json!({"dryRun": ["foo"]})).await);
    assert_eq!((error.code, error.reason.as_str()), (422, "Invalid"));
    peer.get(&format!("{maps}/m")).await;
}
