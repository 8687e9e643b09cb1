//! Creating, reading, changing and deleting.

use super::{namespace, refusal};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

fn config(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(
        json!({"metadata": {"name": name, "labels": {"value": value}}, "data": {"key": value}}),
    )
    .expect("a config map")
}

/// Given an object, when somebody writes from an old version, then it is a conflict.
pub(crate) async fn writes_are_optimistic(client: Client) {
    namespace(&client, "optimistic").await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "optimistic");
    let first = maps.create(&PostParams::default(), &config("a", "1")).await.unwrap();
    assert!(first.metadata.uid.is_some() && first.metadata.creation_timestamp.is_some());
    let twice = refusal(maps.create(&PostParams::default(), &config("a", "1")).await);
    assert_eq!((twice.code, twice.reason.as_str()), (409, "AlreadyExists"));
    let mut second = first.clone();
    second.data.as_mut().unwrap().insert("key".into(), "2".into());
    let second = maps.replace("a", &PostParams::default(), &second).await.unwrap();
    assert_ne!(first.metadata.resource_version, second.metadata.resource_version);
    let stale = refusal(maps.replace("a", &PostParams::default(), &first).await);
    assert_eq!((stale.code, stale.reason.as_str()), (409, "Conflict"));
    let same = maps.replace("a", &PostParams::default(), &second).await.unwrap();
    assert_eq!(same.metadata.resource_version, second.metadata.resource_version, "nothing changed");
    let patch = Patch::Merge(json!({"data": {"key": "3"}}));
    let third = maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(third.data.unwrap()["key"], "3");
    let wrong = DeleteParams::default()
        .preconditions(kube::api::Preconditions { uid: Some("other".into()), resource_version: None });
    assert_eq!(refusal(maps.delete("a", &wrong).await).code, 409);
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

/// Given many objects, when they are listed in pages, then all come once, from one moment.
pub(crate) async fn lists_come_in_pages(client: Client) {
    namespace(&client, "pages").await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "pages");
    for number in 0..7 {
        maps.create(&PostParams::default(), &config(&format!("m{number}"), "x")).await.unwrap();
    }
    let mut params = ListParams::default().limit(3).labels("value=x");
    let mut names = Vec::new();
    loop {
        let page = maps.list(&params).await.unwrap();
        names.extend(page.items.into_iter().filter_map(|map| map.metadata.name));
        if names.len() == 3 {
            maps.create(&PostParams::default(), &config("m1-late", "x")).await.unwrap();
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => break,
        }
    }
    assert_eq!(names, ["m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
}

/// Given a dry run, when anything is written, then the answer is as if and nothing is there.
pub(crate) async fn dry_runs_change_nothing(client: Client) {
    namespace(&client, "dry").await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "dry");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let shown = maps.create(&dry, &config("a", "1")).await.unwrap();
    assert!(shown.metadata.uid.is_some());
    assert!(maps.get_opt("a").await.unwrap().is_none());
    maps.create(&PostParams::default(), &config("a", "1")).await.unwrap();
    let patch = PatchParams { dry_run: true, ..PatchParams::default() };
    let shown = maps.patch("a", &patch, &Patch::Merge(json!({"data": {"key": "2"}}))).await.unwrap();
    assert_eq!(shown.data.unwrap()["key"], "2");
    maps.delete("a", &DeleteParams { dry_run: true, ..DeleteParams::default() }).await.unwrap();
    assert_eq!(maps.get("a").await.unwrap().data.unwrap()["key"], "1");
}

/// Given selectors, when a list is asked for, then only what matches comes, and a field that can't
/// be selected by is refused.
pub(crate) async fn lists_are_selected(client: Client) {
    namespace(&client, "selected").await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "selected");
    for (name, value) in [("a", "1"), ("b", "2"), ("c", "2")] {
        maps.create(&PostParams::default(), &config(name, value)).await.unwrap();
    }
    let names = async |params: ListParams| -> Vec<String> {
        let list = maps.list(&params).await.unwrap();
        list.items.into_iter().filter_map(|map| map.metadata.name).collect()
    };
    assert_eq!(names(ListParams::default().labels("value in (2)")).await, ["b", "c"]);
    assert_eq!(names(ListParams::default().fields("metadata.name=b")).await, ["b"]);
    assert_eq!(names(ListParams::default().labels("value=2").fields("metadata.name!=b")).await, ["c"]);
    let refused = refusal(maps.list(&ListParams::default().fields("data.key=1")).await);
    assert_eq!(refused.code, 400);
}

/// Given a missing or ending namespace, when something is created in it, then it is refused.
pub(crate) async fn namespaces_must_be_there(client: Client) {
    let nowhere: Api<ConfigMap> = Api::namespaced(client.clone(), "nowhere");
    let refused = refusal(nowhere.create(&PostParams::default(), &config("a", "1")).await);
    assert_eq!((refused.code, refused.message.as_str()), (404, "namespaces \"nowhere\" not found"));
    namespace(&client, "ending").await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    let maps: Api<ConfigMap> = Api::namespaced(client, "ending");
    let mut held = config("held", "1");
    held.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    maps.create(&PostParams::default(), &held).await.unwrap();
    namespaces.delete("ending", &DeleteParams::default()).await.unwrap();
    let found = namespaces.get("ending").await.unwrap();
    assert_eq!(found.status.unwrap().phase.unwrap(), "Terminating");
    let refused = refusal(maps.create(&PostParams::default(), &config("a", "1")).await);
    assert_eq!(refused.code, 403);
    assert!(refused.message.contains("because it is being terminated"), "{}", refused.message);
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("held", &PatchParams::default(), &free).await.unwrap();
}
