//! Machines whose API server is behind a network: they know it by its API alone.

use std::net::Ipv4Addr;
use std::sync::Arc;

use kube::config::{KubeConfigOptions, Kubeconfig};

use super::world::{BRIDGE, World, bridge, condition};
use crate::machines::{Caller, Datacenter, DatacenterConfig, Durations, MachineRole, Programs, RemoteApi};
use crate::server::{Pki, Serving, serve};

/// How much faster than in truth things happen: sockets live in real time.
const FASTER: f64 = 50.0;

/// Serves a world's API on loopback, and the way to it that a kubeconfig describes.
async fn served(world: &World) -> (Serving, RemoteApi) {
    let pki = Pki::generate(&["127.0.0.1".to_owned()]).unwrap();
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let serving = serve(&world.server, world.server.router(), address, &pki).await.unwrap();
    let kubeconfig = Kubeconfig::from_yaml(&pki.kubeconfig(&serving.url())).unwrap();
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    (serving, RemoteApi::new(config).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_joins_an_api_server_behind_a_network_and_runs_a_pod() {
    let durations = Durations::default().scaled(FASTER);
    let world = World::paced(Programs::new(), durations.clone()).initialised().await;
    let (serving, access) = served(&world).await;
    let config = DatacenterConfig::new(Arc::new(access), *world.server.clock(), 8);
    let far = Datacenter::new(DatacenterConfig { durations, network: (10, 201), ..config });
    let machine = far.create(&world.joining("far1", MachineRole::Worker).await, "story").unwrap();
    let joined = || async { far.console(&machine.id).unwrap().contains("has joined the cluster") };
    world.until("far1 to join", joined).await;
    let network = bridge("10.9.7.0/24");
    far.write_file(&machine.id, BRIDGE, Some((network.as_bytes(), 0o644)), Caller::default()).unwrap();
    let ready = || async { condition(&world.node("far1").await, "Ready") == "True" };
    world.until("far1 to be ready", ready).await;
    world.start_pod("web", "far1", serde_json::json!({})).await;
    world.ready("web").await;
    let pod = world.pod("default", "web").await.unwrap();
    assert!(pod["status"]["podIP"].as_str().unwrap_or_default().starts_with("10.9.7."), "{pod:#}");
    // Over the network, and by name: the kubelet is known by what it calls itself.
    let kubelets = world.server.requests().count(|request| request.client.starts_with("kubelet/"));
    let nodes = world.server.direct("story").list(&crate::schema::builtin::NODES, None);
    assert!(kubelets > 0 && nodes.len() == 2, "{kubelets} requests of kubelets, {} nodes", nodes.len());
    far.shutdown().await;
    serving.stop().await;
}
