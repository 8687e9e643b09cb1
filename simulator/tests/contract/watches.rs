//! Watches: what they begin with, what they tell, how they end.

use super::{api, create, namespace};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;

fn told(event: WatchEvent<ConfigMap>) -> String {
    let name = |map: ConfigMap| map.metadata.name.unwrap_or_default();
    match event {
        WatchEvent::Added(map) => format!("+{}", name(map)),
        WatchEvent::Modified(map) => format!("~{}", name(map)),
        WatchEvent::Deleted(map) => format!("-{}", name(map)),
        WatchEvent::Bookmark(_) => "bookmark".into(),
        WatchEvent::Error(status) => format!("error {}", status.code),
    }
}

async fn first(watch: BoxStream<'_, kube::Result<WatchEvent<ConfigMap>>>, count: usize) -> Vec<String> {
    watch.map_ok(told).take(count).try_collect().await.unwrap()
}

/// Given a watch with a selector, when objects enter and leave it, then they are added and deleted.
pub(crate) async fn selectors_turn_changes_into_coming_and_going(client: Client) {
    namespace(&client, "watched").await;
    let dynamic = api(&client, "v1", "ConfigMap", "configmaps", "watched");
    create(&dynamic, json!({"metadata": {"name": "a", "labels": {"in": "yes"}}})).await.unwrap();
    create(&dynamic, json!({"metadata": {"name": "b"}})).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "watched");
    let version = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let params = WatchParams::default().labels("in=yes").timeout(20);
    let from_now = maps.watch(&params, &version).await.unwrap();
    let from_start = maps.watch(&params, "0").await.unwrap();
    let label = async |name: &str, value: serde_json::Value| {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"in": value}}}));
        maps.patch(name, &PatchParams::default(), &patch).await.unwrap();
    };
    label("b", json!("yes")).await;
    label("a", json!(null)).await;
    maps.patch("b", &PatchParams::default(), &Patch::Merge(json!({"data": {"k": "v"}}))).await.unwrap();
    maps.delete("b", &DeleteParams::default()).await.unwrap();
    assert_eq!(first(from_now.boxed(), 4).await, ["+b", "-a", "~b", "-b"]);
    assert_eq!(first(from_start.boxed(), 5).await, ["+a", "+b", "-a", "~b", "-b"]);
}

/// Given a timeout, when it has passed, then the watch ends by itself.
pub(crate) async fn watches_end_in_time(client: Client) {
    namespace(&client, "timed").await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "timed");
    let begun = tokio::time::Instant::now();
    let watch = maps.watch(&WatchParams::default().timeout(3), "0").await.unwrap();
    let events: Vec<_> = watch.map_ok(told).try_collect().await.unwrap();
    assert!(events.iter().all(|event| event == "bookmark" || event.contains("kube-root-ca")), "{events:?}");
    assert!(begun.elapsed().as_secs() >= 2, "{:?}", begun.elapsed());
}

/// Given a streaming list, when all has been told, then a bookmark says so.
pub(crate) async fn lists_can_be_streamed(client: Client) {
    namespace(&client, "streamed").await;
    let dynamic = api(&client, "v1", "ConfigMap", "configmaps", "streamed");
    create(&dynamic, json!({"metadata": {"name": "a", "labels": {"in": "yes"}}})).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "streamed");
    let params = WatchParams::default().initial_events().labels("in=yes").timeout(20);
    let mut watch = maps.watch(&params, "").await.unwrap().boxed();
    assert_eq!(told(watch.try_next().await.unwrap().unwrap()), "+a");
    let Some(WatchEvent::Bookmark(mark)) = watch.try_next().await.unwrap() else { panic!("no bookmark") };
    assert_eq!(mark.metadata.annotations["k8s.io/initial-events-end"], "true");
}
