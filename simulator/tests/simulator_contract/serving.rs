//! The same over TCP with TLS.

use crate::server;
use kube::config::{KubeConfigOptions, Kubeconfig};
use replank_simulator::server::{Pki, serve};
use std::net::Ipv4Addr;
use std::time::Duration;

#[tokio::test]
async fn the_contract_holds_over_tls() {
    let server = server();
    let pki = Pki::generate(&["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let serving = serve(&server, server.router(), (Ipv4Addr::LOCALHOST, 0).into(), &pki).await.unwrap();
    let kubeconfig = Kubeconfig::from_yaml(&pki.kubeconfig(&serving.url())).unwrap();
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    let client = kube::Client::try_from(config).unwrap();
    tokio::time::timeout(Duration::from_mins(1), crate::all_stories(&client)).await.unwrap();
    serving.stop().await;
    assert!(client.apiserver_version().await.is_err(), "nobody answers any more");
}
