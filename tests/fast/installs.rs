//! Upstream's manifests, as they are, on the embedded cluster: everything comes up.

use replank_tests::{manifests, skip};
use serde_json::json;

use crate::cluster::{Cluster, annotation, condition, text};

/// The folder of manifests; without it the test says that it did not run.
macro_rules! manifests {
    ($test:literal) => {
        match manifests() {
            Some(folder) => folder,
            None => return skip($test, "there are no manifests: set REPLANK_MANIFESTS"),
        }
    };
}

/// A Deployment whose pods go wherever there is room.
fn web(replicas: u64) -> serde_json::Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "example/web:1", "readinessProbe": {"httpGet": {"port": 80}}}]},
            },
        },
    })
}

/// Every pod of the pod network has an address that starts like this.
async fn addresses_start_with(cluster: &Cluster, prefix: &str) {
    let mut seen = std::collections::BTreeSet::new();
    for pod in cluster.list("/api/v1/pods").await {
        if pod["spec"]["hostNetwork"] != true && text(&pod, "/status/phase") == "Running" {
            let ip = text(&pod, "/status/podIP").to_owned();
            assert!(ip.starts_with(prefix), "{} has {ip}", text(&pod, "/metadata/name"));
            assert!(seen.insert(ip), "an address twice");
        }
    }
    assert!(seen.len() > 3, "{seen:?}");
}

async fn calico_by_manifest(cluster: &Cluster, folder: &std::path::Path, manifest: &str, version: &str) {
    cluster.install(folder, manifest).await;
    cluster.create(web(4)).await;
    cluster.settled().await;
    addresses_start_with(cluster, "192.168.").await;
    let information = "/apis/crd.projectcalico.org/v1/clusterinformations/default";
    assert_eq!(cluster.get(information).await.unwrap()["spec"]["calicoVersion"], version);
    for node in cluster.list("/api/v1/nodes").await {
        assert_eq!(condition(&node, "NetworkUnavailable"), "False");
        assert!(annotation(&node, "projectcalico.org/IPv4IPIPTunnelAddr").starts_with("192.168."));
    }
    let pools = cluster.list("/apis/crd.projectcalico.org/v1/ippools").await;
    assert_eq!(pools.len(), 1);
    assert_eq!(pools[0]["spec"]["ipipMode"], "Always");
}

#[tokio::test(start_paused = true)]
async fn calico_3_27_by_manifest() {
    let folder = manifests!("calico_3_27_by_manifest");
    calico_by_manifest(&Cluster::new(2).await, &folder, "calico-v3.27.2.yaml", "v3.27.2").await;
}

#[tokio::test(start_paused = true)]
async fn calico_3_30_by_manifest() {
    let folder = manifests!("calico_3_30_by_manifest");
    calico_by_manifest(&Cluster::new(2).await, &folder, "calico-v3.30.3.yaml", "v3.30.3").await;
}

#[tokio::test(start_paused = true)]
async fn flannel_by_manifest() {
    let folder = manifests!("flannel_by_manifest");
    let cluster = Cluster::new(2).await;
    cluster.install(&folder, "kube-flannel-v0.28.9.yml").await;
    // Its own network is not this cluster's: flanneld refuses every node's range.
    cluster
        .until("flanneld's refusal", || async {
            let pods = cluster.list("/api/v1/namespaces/kube-flannel/pods").await;
            pods.iter().any(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64() > Some(1))
        })
        .await;
    let conf = json!({"Network": "192.168.0.0/16", "Backend": {"Type": "vxlan"}}).to_string();
    let map = "/api/v1/namespaces/kube-flannel/configmaps/kube-flannel-cfg";
    cluster.patch(map, json!({"data": {"net-conf.json": conf}})).await;
    for pod in cluster.list("/api/v1/namespaces/kube-flannel/pods").await {
        cluster
            .delete(&format!("/api/v1/namespaces/kube-flannel/pods/{}", text(&pod, "/metadata/name")))
            .await;
    }
    cluster.create(web(4)).await;
    cluster.settled().await;
    addresses_start_with(&cluster, "192.168.").await;
    for node in cluster.list("/api/v1/nodes").await {
        assert_eq!(condition(&node, "NetworkUnavailable"), "False");
        assert_eq!(annotation(&node, "flannel.alpha.coreos.com/backend-type"), "vxlan");
    }
}

#[tokio::test(start_paused = true)]
async fn calico_by_operator() {
    let folder = manifests!("calico_by_operator");
    let cluster = Cluster::new(2).await;
    cluster.install(&folder, "operator-crds-v3.30.3.yaml").await;
    cluster.install(&folder, "tigera-operator-v3.30.3.yaml").await;
    cluster.install(&folder, "operator-custom-resources-v3.30.3.yaml").await;
    cluster.create(web(4)).await;
    cluster
        .until("Calico's API server", || async {
            let statuses = cluster.list("/apis/operator.tigera.io/v1/tigerastatuses").await;
            statuses.len() == 5 && statuses.iter().all(|status| condition(status, "Available") == "True")
        })
        .await;
    cluster.settled().await;
    addresses_start_with(&cluster, "192.168.").await;
    let pools = cluster.list("/apis/projectcalico.org/v3/ippools").await;
    assert_eq!(pools[0]["apiVersion"], "projectcalico.org/v3");
    assert_eq!(pools[0]["spec"]["vxlanMode"], "CrossSubnet");
}
