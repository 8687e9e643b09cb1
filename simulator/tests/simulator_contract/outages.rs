//! A server that goes away, falls silent, and comes back; and whom it answers over TCP.

use crate::server;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, ListParams, PostParams, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use replank_simulator::faults::Fault;
use replank_simulator::server::{Pki, Serving, serve};
use serde_json::json;
use std::net::Ipv4Addr;
use std::time::Duration;

async fn over_tcp(server: &replank_simulator::server::Server) -> (Serving, Pki) {
    let pki = Pki::generate(&["127.0.0.1".to_owned()]).unwrap();
    let serving = serve(server, server.router(), (Ipv4Addr::LOCALHOST, 0).into(), &pki).await.unwrap();
    (serving, pki)
}

async fn client(kubeconfig: &str, change: impl FnOnce(&mut kube::Config)) -> kube::Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    change(&mut config);
    kube::Client::try_from(config).unwrap()
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it does not hang")
}

#[tokio::test]
async fn a_server_that_is_away_refuses_connections_and_comes_back_at_the_same_address() {
    let server = server();
    let (serving, pki) = over_tcp(&server).await;
    let client = client(&pki.kubeconfig(&serving.url()), |_| ()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let watch = maps.watch(&WatchParams::default(), "0").await.unwrap();
    let id = server.faults().raise(Fault::named("api-server-away"));
    let ended = within(watch.try_collect::<Vec<_>>()).await;
    assert!(!ended.is_ok_and(|events| !events.is_empty()), "the watch broke");
    within(async {
        // Closing the port takes a moment.
        while std::net::TcpStream::connect(serving.addr()).is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(within(maps.list(&ListParams::default())).await.is_err());
    server.faults().lift(id);
    within(async {
        while maps.list(&ListParams::default()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    serving.stop().await;
}

#[tokio::test]
async fn a_server_can_be_away_for_one_client_only() {
    let server = server();
    let away: Api<Node> = Api::all(server.client("replank/0.1"));
    let near: Api<Node> = Api::all(server.client("kubelet"));
    server.faults().raise("api-server-away:client=replank".parse().unwrap());
    assert!(away.list(&ListParams::default()).await.is_err());
    near.list(&ListParams::default()).await.unwrap();
    assert_eq!(server.faults().struck("api-server-away"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_says_later_what_happened_meanwhile() {
    let server = server();
    let (quiet, other) = (server.client("replank/0.1"), server.client("kubectl"));
    let maps: Api<ConfigMap> = Api::namespaced(quiet, "default");
    let mut watch = Box::pin(maps.watch(&WatchParams::default(), "0").await.unwrap());
    let id = server.faults().raise("no-answer:client=replank".parse().unwrap());
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "meanwhile"}})).unwrap();
    let others: Api<ConfigMap> = Api::namespaced(other, "default");
    others.create(&PostParams::default(), &map).await.unwrap();
    let short = Duration::from_secs(30);
    assert!(tokio::time::timeout(short, watch.try_next()).await.is_err(), "nothing is said");
    assert!(tokio::time::timeout(short, maps.list(&ListParams::default())).await.is_err());
    server.faults().lift(id);
    let event = within(watch.try_next()).await.unwrap().unwrap();
    assert!(
        matches!(&event, kube::api::WatchEvent::Added(m) if m.metadata.name.as_deref() == Some("meanwhile"))
    );
}

#[tokio::test]
async fn whoever_shows_neither_certificate_nor_token_is_a_stranger() {
    let server = server();
    let (serving, pki) = over_tcp(&server).await;
    let kubeconfig = pki.kubeconfig(&serving.url());
    let nobody = client(&kubeconfig, |config| config.auth_info = kube::config::AuthInfo::default()).await;
    assert!(nobody.apiserver_version().await.is_ok(), "the version is for all");
    let refused = Api::<Node>::all(nobody).list(&ListParams::default()).await;
    let kube::Error::Api(status) = refused.unwrap_err() else { panic!("the server answers") };
    assert_eq!(status.code, 403);
    assert!(status.message.contains("system:anonymous"), "{}", status.message);
    let forger = client(&kubeconfig, |config| {
        config.auth_info = kube::config::AuthInfo {
            token: Some("abc".to_owned().into()),
            ..kube::config::AuthInfo::default()
        };
    })
    .await;
    let refused = Api::<Node>::all(forger).list(&ListParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 401));
    serving.stop().await;
}
