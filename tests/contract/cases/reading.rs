//! Get and list.

use super::cases;
use crate::peer::{Peer, map, pod, refused, text};
use serde_json::{Value, json};

cases![
    a_list_has_items_and_a_version,
    a_list_comes_in_pages,
    pages_show_the_cluster_as_it_was_at_the_first,
    a_token_of_nobody_is_refused,
    labels_select_by_equality_and_absence,
    labels_select_by_sets,
    pods_are_found_by_their_node,
    objects_are_found_by_their_name,
    an_unknown_field_selects_nothing,
    a_list_without_a_namespace_has_all,
    metadata_come_without_the_rest,
    items_of_built_in_lists_have_no_kind_of_their_own,
    what_is_missing_is_named,
    an_unknown_resource_is_not_found,
    a_table_has_columns_and_rows,
];

async fn maps(peer: &Peer, count: usize) -> String {
    let namespace = peer.namespace().await;
    let collection = format!("/api/v1/namespaces/{namespace}/configmaps");
    for at in 0..count {
        peer.made(
            &collection,
            &json!({"metadata": {"name": format!("map-{at}"), "labels": {"at": at.to_string()}}}),
        )
        .await;
    }
    collection
}

/// The ConfigMaps of a list that the suite made: a real cluster puts its CA into every namespace.
fn ours(list: &Value) -> Vec<&str> {
    let names = list["items"].as_array().unwrap().iter().map(|item| text(item, "/metadata/name"));
    names.filter(|name| name.starts_with("map-")).collect()
}

async fn a_list_has_items_and_a_version(peer: &Peer) {
    let list = peer.get(&maps(peer, 2).await).await;
    assert_eq!(list["kind"], "ConfigMapList");
    assert_eq!(ours(&list), ["map-0", "map-1"]);
    assert!(text(&list, "/metadata/resourceVersion").parse::<u64>().unwrap() > 0);
}

async fn a_list_comes_in_pages(peer: &Peer) {
    let collection = maps(peer, 5).await;
    let first = peer.get(&format!("{collection}?limit=2&labelSelector=at")).await;
    assert_eq!(ours(&first), ["map-0", "map-1"]);
    let token = text(&first, "/metadata/continue");
    let second = peer.get(&format!("{collection}?limit=2&labelSelector=at&continue={token}")).await;
    assert_eq!(ours(&second), ["map-2", "map-3"]);
    let token = text(&second, "/metadata/continue");
    let last = peer.get(&format!("{collection}?limit=2&labelSelector=at&continue={token}")).await;
    assert_eq!(ours(&last), ["map-4"]);
    assert_eq!(text(&last, "/metadata/continue"), "");
}

async fn pages_show_the_cluster_as_it_was_at_the_first(peer: &Peer) {
    let collection = maps(peer, 3).await;
    let first = peer.get(&format!("{collection}?limit=2&labelSelector=at")).await;
    peer.made(&collection, &json!({"metadata": {"name": "map-9", "labels": {"at": "9"}}})).await;
    let token = text(&first, "/metadata/continue");
    let rest = peer.get(&format!("{collection}?labelSelector=at&continue={token}")).await;
    assert_eq!(ours(&rest), ["map-2"]);
    let versions = [&first, &rest].map(|list| text(list, "/metadata/resourceVersion"));
    assert_eq!(versions[0], versions[1]);
}

async fn a_token_of_nobody_is_refused(peer: &Peer) {
    let error = refused(peer.api.get("/api/v1/configmaps?limit=1&continue=nonsense").await);
    assert_eq!((error.code, error.reason.as_str()), (400, "BadRequest"));
}

async fn labels_select_by_equality_and_absence(peer: &Peer) {
    let collection = maps(peer, 3).await;
    let select = async |selector: &str| {
        let list = peer.get(&format!("{collection}?labelSelector={selector}")).await;
        ours(&list).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(select("at%3D1").await, ["map-1"]);
    assert_eq!(select("at%21%3D1").await, ["map-0", "map-2"]);
    assert_eq!(select("%21at").await, Vec::<String>::new());
    assert_eq!(select("at%3D1,at%3D2").await, Vec::<String>::new());
}

async fn labels_select_by_sets(peer: &Peer) {
    let collection = maps(peer, 4).await;
    let select = async |selector: &str| {
        let list = peer.get(&format!("{collection}?labelSelector={selector}")).await;
        ours(&list).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(select("at%20in%20%281,3%29").await, ["map-1", "map-3"]);
    assert_eq!(select("at%20notin%20%281,3%29").await, ["map-0", "map-2"]);
}

async fn pods_are_found_by_their_node(peer: &Peer) {
    let namespace = peer.namespace().await;
    let bound = peer.bound_pod(&namespace, json!({})).await;
    peer.made(&format!("/api/v1/namespaces/{namespace}/pods"), &unschedulable("elsewhere")).await;
    let node = text(&peer.get(&bound).await, "/spec/nodeName").to_owned();
    let list = peer.get(&format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}")).await;
    let names: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|p| text(p, "/metadata/name")).collect();
    assert_eq!(names, [bound.rsplit('/').next().unwrap()]);
}

/// A pod that no scheduler finds a place for.
fn unschedulable(name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["nodeSelector"] = json!({"contract.example/nowhere": "true"});
    pod
}

async fn objects_are_found_by_their_name(peer: &Peer) {
    let collection = maps(peer, 3).await;
    let list = peer.get(&format!("{collection}?fieldSelector=metadata.name%3Dmap-1")).await;
    assert_eq!(ours(&list), ["map-1"]);
}

async fn an_unknown_field_selects_nothing(peer: &Peer) {
    let error = refused(peer.api.get("/api/v1/pods?fieldSelector=spec.colour%3Dred").await);
    assert_eq!((error.code, error.reason.as_str()), (400, "BadRequest"));
}

async fn a_list_without_a_namespace_has_all(peer: &Peer) {
    let (one, two) = (maps(peer, 1).await, maps(peer, 1).await);
    let list = peer.get("/api/v1/configmaps?labelSelector=at%3D0").await;
    let namespaces: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|m| text(m, "/metadata/namespace")).collect();
    for collection in [one, two] {
        assert!(namespaces.contains(&collection.split('/').nth(4).unwrap()), "{collection}");
    }
}

async fn metadata_come_without_the_rest(peer: &Peer) {
    let namespace = peer.namespace().await;
    let collection = format!("/api/v1/namespaces/{namespace}/secrets");
    peer.made(&collection, &json!({"metadata": {"name": "s"}, "stringData": {"key": "hidden"}})).await;
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let (status, list) = peer.ask_for(&collection, accept).await;
    assert_eq!(status, 200);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    let secret = list["items"].as_array().unwrap().iter().find(|s| text(s, "/metadata/name") == "s").unwrap();
    assert!(secret.get("data").is_none(), "{secret}");
}

async fn items_of_built_in_lists_have_no_kind_of_their_own(peer: &Peer) {
    let list = peer.get(&maps(peer, 1).await).await;
    assert!(list["items"][0].get("kind").is_none());
}

async fn what_is_missing_is_named(peer: &Peer) {
    let error = refused(peer.api.get("/api/v1/namespaces/default/configmaps/nobody").await);
    assert_eq!((error.code, error.reason.as_str()), (404, "NotFound"));
    assert_eq!(error.message, "configmaps \"nobody\" not found");
}

async fn an_unknown_resource_is_not_found(peer: &Peer) {
    for path in ["/api/v1/colours", "/apis/contract.example/v1/colours", "/apis/apps/v9/deployments"] {
        assert_eq!(refused(peer.api.get(path).await).code, 404, "{path}");
    }
}

async fn a_table_has_columns_and_rows(peer: &Peer) {
    let namespace = peer.namespace().await;
    peer.made(&format!("/api/v1/namespaces/{namespace}/configmaps"), &map("m", json!({"a": "1"}))).await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let path = format!("/api/v1/namespaces/{namespace}/configmaps?fieldSelector=metadata.name%3Dm");
    let (status, table) = peer.ask_for(&path, accept).await;
    assert_eq!((status.as_u16(), text(&table, "/kind")), (200, "Table"));
    let columns: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| text(c, "/name")).collect();
    assert_eq!(columns, ["Name", "Data", "Age"]);
    assert_eq!(table["rows"][0]["cells"][0], "m");
    assert_eq!(table["rows"][0]["cells"][1], 1);
}
