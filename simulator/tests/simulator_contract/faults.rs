//! Faults strike whom they name, and the log tells who asked what.

use crate::contract::refusal;
use crate::server;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, ListParams, PostParams, WatchParams};
use replank_simulator::faults::Fault;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

fn config(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_refusal_strikes_only_whom_it_names() {
    let server = server();
    let nodes: Api<Node> = Api::all(server.client("replank/0.1"));
    let others: Api<Node> = Api::all(server.client("kubectl/1.34"));
    let id = server.faults().raise(Fault::named("too-many-requests").client("replank").verb("list"));
    let refused = refusal(nodes.list(&ListParams::default()).await);
    assert_eq!((refused.code, refused.details.unwrap().retry_after_seconds), (429, 1));
    others.list(&ListParams::default()).await.unwrap();
    assert!(nodes.get_opt("a").await.unwrap().is_none());
    server.faults().lift(id);
    nodes.list(&ListParams::default()).await.unwrap();
    let log = server.requests();
    assert_eq!(
        log.count(|request| &*request.client == "replank/0.1" && request.status == 429),
        1,
        "no retries"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_response_comes_after_the_act() {
    let server = server();
    let maps: Api<ConfigMap> = Api::namespaced(server.client("a"), "default");
    server.faults().raise(Fault::named("lost-response").verb("create").count(1));
    assert!(maps.create(&PostParams::default(), &config("made")).await.is_err());
    assert!(maps.get_opt("made").await.unwrap().is_some(), "it was carried out");
    server.faults().raise(Fault::named("dropped-connection").verb("create").count(1));
    assert!(maps.create(&PostParams::default(), &config("lost")).await.is_err());
    assert!(maps.get_opt("lost").await.unwrap().is_none(), "it was not");
}

#[tokio::test(start_paused = true)]
async fn slow_answers_take_their_time() {
    let server = server();
    let maps: Api<ConfigMap> = Api::namespaced(server.client("a"), "default");
    server.faults().raise("slow:verb=get:count=1:delay=5s".parse().unwrap());
    let begun = Instant::now();
    maps.get_opt("a").await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn watches_end_when_a_fault_says_so() {
    let server = server();
    let maps: Api<ConfigMap> = Api::namespaced(server.client("a"), "default");
    let watch = maps.watch(&WatchParams::default(), "0").await.unwrap();
    let faults = server.faults().clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(9)).await;
        faults.raise(Fault::named("watch-ends"));
    });
    let begun = Instant::now();
    assert_eq!(watch.try_collect::<Vec<_>>().await.unwrap().len(), 0);
    assert_eq!(begun.elapsed(), Duration::from_secs(9));
    server.faults().raise(Fault::named("watch-ends").delay(Duration::from_secs(4)));
    let watch = maps.watch(&WatchParams::default(), "0").await.unwrap();
    watch.try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(13));
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_before_the_compaction_is_told_so() {
    let server = server();
    let maps: Api<ConfigMap> = Api::namespaced(server.client("a"), "default");
    let version = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    maps.create(&PostParams::default(), &config("a")).await.unwrap();
    server.compact();
    let mut watch = std::pin::pin!(maps.watch(&WatchParams::default(), &version).await.unwrap());
    let event = watch.try_next().await.unwrap().unwrap();
    assert!(matches!(&event, kube::api::WatchEvent::Error(status) if status.code == 410), "{event:?}");
}
