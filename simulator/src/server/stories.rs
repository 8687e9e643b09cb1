//! Stories of the server under paused time: what a client of the real one can't make it do, or not as soon.

use super::Server;
use crate::clock::Clock;
use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;
use std::time::Duration;

fn server() -> Server {
    Server::new(Clock::fixed(), 7)
}

/// Sends a GET; the code of the answer and its body as it comes.
async fn get(server: &Server, path: &str) -> (u16, Body) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = server.client("story").send(request).await.unwrap();
    (answer.status().as_u16(), answer.into_body())
}

/// The next event of a watch, within so many seconds.
async fn event(watch: &mut Body, seconds: u64) -> Option<Value> {
    let frame = tokio::time::timeout(Duration::from_secs(seconds), watch.frame()).await.ok()??;
    serde_json::from_slice(frame.unwrap().data_ref()?).ok()
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_that_wants_bookmarks_gets_one_a_minute() {
    let server = server();
    let secrets = "/api/v1/namespaces/default/secrets?watch=1&timeoutSeconds=300";
    let version = format!("resourceVersion={}", server.revision());
    let (_, mut plain) = get(&server, &format!("{secrets}&{version}")).await;
    let (_, mut watch) = get(&server, &format!("{secrets}&{version}&allowWatchBookmarks=true")).await;
    for _ in 0..2 {
        let told = event(&mut watch, 61).await.expect("a bookmark within a minute");
        assert_eq!((&told["type"], &told["object"]["kind"]), (&"BOOKMARK".into(), &"Secret".into()));
        assert_eq!(told["object"]["metadata"]["resourceVersion"], server.revision().to_string());
    }
    assert_eq!(event(&mut plain, 61).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_may_ask_for_more_time_than_there_is() {
    let server = server();
    let one = "/api/v1/namespaces?watch=1&fieldSelector=metadata.name%3Ddefault";
    let path = format!("{one}&timeoutSeconds={}", i64::MAX);
    let (code, mut watch) = get(&server, &path).await;
    let told = event(&mut watch, 1).await.expect("what is there");
    assert_eq!((code, &told["type"]), (200, &"ADDED".into()));
}

#[tokio::test(start_paused = true)]
async fn a_token_from_beyond_the_end_continues_with_nothing() {
    let server = server();
    let namespaces = "/api/v1/namespaces?limit=1";
    assert_eq!(get(&server, namespaces).await.0, 200);
    let (code, page) = get(&server, &format!("{namespaces}&continue=1.ffffffffffffffff")).await;
    let page: Value = serde_json::from_slice(&page.collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((code, &page["items"]), (200, &serde_json::json!([])));
    assert_eq!(get(&server, namespaces).await.0, 200);
}
