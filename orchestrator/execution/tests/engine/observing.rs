//! What `observe` sees.

use crate::cluster::Cluster;
use replank_execution::{Settings, observe};
use replank_planning::state::{Health, HostAccess, Owner, PodVolume};
use replank_provider_protocol::{Keeping, Role};
use replank_simulator::faults::Fault;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn a_cluster_is_seen_with_its_machines_and_hosts() {
    let cluster = Cluster::with_workers(&["w1"]).await;
    cluster.deployment("web", 2).await;
    cluster.budget("web", json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}})).await;
    cluster.pod("lone", "w1", json!({"volumes": [{"name": "scratch", "emptyDir": {}}]})).await;

    let state = cluster.observed().await;

    let (plane, worker) = (&state.nodes[&"cp1".into()], &state.nodes[&"w1".into()]);
    assert_eq!((plane.role, worker.role), (Role::ControlPlane, Role::Worker));
    assert_eq!(worker.ready.health, Health::Good);
    let machine = worker.machine.as_ref().unwrap();
    assert_eq!((machine.id.as_str(), machine.keeping), (cluster.machine_id("w1").as_str(), Keeping::Stopped));
    let HostAccess::Reachable(host) = &plane.host else { panic!("{:?}", plane.host) };
    assert!(host.static_pods.contains("kube-controller-manager.yaml"));
    assert!(host.foreign_files.is_empty(), "{:?}", host.foreign_files);
    assert_eq!(host.cni_configurations, ["50-flat.conflist"]);

    let lone = state.pods.iter().find(|p| p.name == "lone").unwrap();
    assert_eq!(lone.owner, Owner::Bare);
    assert!(lone.volumes.contains(&PodVolume::EmptyDir { name: "scratch".into() }));
    let web = |o: &Owner| matches!(o, Owner::Controller { kind, .. } if kind == "ReplicaSet");
    let webs = state.pods.iter().filter(|p| p.labels.get("app").is_some_and(|a| a == "web"));
    assert_eq!(webs.filter(|p| web(&p.owner) && p.ready).count(), 2);
    assert!(state.pods.iter().any(|p| p.owner == Owner::Mirror && p.host_network));
    assert_eq!(state.budgets[0].pods.len(), 2);

    let kubeadm = state.kubeadm.as_ref().unwrap();
    assert_eq!(kubeadm.control_plane_endpoint, "api.story:6443");
    assert_eq!(kubeadm.pod_subnet, ["192.168.0.0/16".parse().unwrap()]);
    assert!(state.controller_managers[&"cp1".into()].allocates());
    assert_eq!(state.service_ranges, ["10.96.0.0/12".parse().unwrap()]);
    assert!(state.kube_proxy.as_ref().is_some_and(|p| p.daemon_set.is_some()));
}

#[tokio::test(start_paused = true)]
async fn no_secret_enters_the_state() {
    let cluster = Cluster::with_workers(&[]).await;
    let state = cluster.observed().await;
    let secrets: Vec<_> = state.inventory.of("", "Secret").collect();
    assert!(secrets.iter().any(|s| s.id.object.name == "bootstrap-token-abcdef"));
    assert!(secrets.iter().all(|s| s.at("/data").is_none() && s.at("/stringData").is_none()));
    assert!(!serde_json::to_string(&state).unwrap().contains("MDEyMzQ1Njc4OWFiY2RlZg"));
}

#[tokio::test(start_paused = true)]
async fn without_a_provider_the_cluster_alone_is_seen() {
    let cluster = Cluster::with_workers(&["w1"]).await;
    let state = observe(&cluster.world(), &Settings::default()).await.unwrap();
    let worker = &state.nodes[&"w1".into()];
    assert!(worker.machine.is_none() && matches!(worker.host, HostAccess::None { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stumbles_is_asked_again_and_one_that_is_away_is_named() {
    let cluster = Cluster::with_workers(&["w1"]).await;
    let faults = cluster.server.faults();
    let stumbling = faults.raise(Fault::named("unavailable").client("replank").rate(0.3));
    assert_eq!(cluster.observed().await.nodes.len(), 2);
    faults.lift(stumbling);
    faults.raise(Fault::named("unavailable").client("replank").resource("pods"));
    let error = observe(&cluster.world(), &Settings::default()).await.unwrap_err();
    assert!(error.to_string().contains("/api/v1/pods"), "{error}");
}
