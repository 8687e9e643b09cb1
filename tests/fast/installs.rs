//! Upstream's manifests, as they are, on the embedded cluster: everything comes up.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use replank_tests::{manifests, skip};
use serde_json::json;

use crate::cluster::{Cluster, annotation, condition, text};

const CALICO: &str = "192.168.0.0/16";

/// The folder of manifests; without it the test says that it did not run.
macro_rules! manifests {
    ($test:literal) => {
        match manifests() {
            Some(folder) => folder,
            None => return skip($test, "there are no manifests: set REPLANK_MANIFESTS"),
        }
    };
}

/// Every pod of the pod network has an address of its own that starts like this.
async fn addresses_start_with(cluster: &Cluster, prefix: &str) {
    let mut seen = BTreeSet::new();
    for pod in cluster.list("/api/v1/pods").await {
        if pod["spec"]["hostNetwork"] != true && text(&pod, "/status/phase") == "Running" {
            let ip = text(&pod, "/status/podIP").to_owned();
            assert!(ip.starts_with(prefix), "{} has {ip}", text(&pod, "/metadata/name"));
            assert!(seen.insert(ip), "an address twice");
        }
    }
    assert!(seen.len() > 6, "{seen:?}");
}

async fn calico_by_manifest(folder: &Path, manifest: &str, version: &str) {
    let cluster = Cluster::with(folder, &[manifest], CALICO).await;
    addresses_start_with(&cluster, "192.168.").await;
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
    calico_by_manifest(&folder, "calico-v3.27.2.yaml", "v3.27.2").await;
}

#[tokio::test(start_paused = true)]
async fn calico_3_30_by_manifest() {
    let folder = manifests!("calico_3_30_by_manifest");
    calico_by_manifest(&folder, "calico-v3.30.3.yaml", "v3.30.3").await;
}

#[tokio::test(start_paused = true)]
async fn flannel_by_manifest() {
    let folder = manifests!("flannel_by_manifest");
    let cluster = Cluster::with(&folder, &["kube-flannel-v0.28.9.yml"], "10.244.0.0/16").await;
    addresses_start_with(&cluster, "10.244.").await;
    for node in cluster.list("/api/v1/nodes").await {
        assert_eq!(condition(&node, "NetworkUnavailable"), "False");
        assert_eq!(annotation(&node, "flannel.alpha.coreos.com/backend-type"), "vxlan");
    }
}

#[tokio::test(start_paused = true)]
async fn flannel_with_the_manifests_of_a_migration_to_calico() {
    let folder = manifests!("flannel_with_the_manifests_of_a_migration_to_calico");
    let files = ["kube-flannel-v0.28.9.yml", "flannel-migration-calico-v3.27.2.yaml"];
    let cluster = Cluster::with(&folder, &files, "10.244.0.0/16").await;
    addresses_start_with(&cluster, "10.244.").await;
    // Calico's agents wait for a label that no node has.
    let set = cluster.get("/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node").await.unwrap();
    assert_eq!(set["status"]["desiredNumberScheduled"], 0);
    cluster.install(&folder, "flannel-migration-job-v3.27.2.yaml").await;
    let job = "/apis/batch/v1/namespaces/kube-system/jobs/flannel-migration";
    cluster
        .until("the Job's end", || async {
            condition(&cluster.get(job).await.unwrap_or_default(), "Complete") == "True"
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn calico_by_operator() {
    let folder = manifests!("calico_by_operator");
    let files = [
        "operator-crds-v3.30.3.yaml",
        "tigera-operator-v3.30.3.yaml",
        "operator-custom-resources-v3.30.3.yaml",
    ];
    let cluster = Cluster::with(&folder, &files, CALICO).await;
    cluster
        .until("every TigeraStatus", || async {
            let statuses = cluster.list("/apis/operator.tigera.io/v1/tigerastatuses").await;
            statuses.len() == 5 && statuses.iter().all(|status| condition(status, "Available") == "True")
        })
        .await;
    addresses_start_with(&cluster, "192.168.").await;

    // Calico's own API serves the pool, and through it the operator closes it.
    let pool = "/apis/projectcalico.org/v3/ippools/default-ipv4-ippool";
    let served = cluster.get(pool).await.unwrap();
    assert_eq!(served["apiVersion"], "projectcalico.org/v3");
    assert_eq!(served["spec"]["vxlanMode"], "CrossSubnet");
    let installation = "/apis/operator.tigera.io/v1/installations/default";
    let mut pools = cluster.get(installation).await.unwrap()["spec"]["calicoNetwork"]["ipPools"].clone();
    pools[0]["disableNewAllocations"] = json!(true);
    cluster.patch(installation, json!({"spec": {"calicoNetwork": {"ipPools": pools}}})).await;
    cluster
        .until("the pool's end", || async { cluster.get(pool).await.unwrap()["spec"]["disabled"] == true })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_operator_takes_calico_down() {
    let folder = manifests!("the_operator_takes_calico_down");
    let files = [
        "operator-crds-v3.30.3.yaml",
        "tigera-operator-v3.30.3.yaml",
        "operator-custom-resources-v3.30.3.yaml",
    ];
    let cluster = Cluster::with(&folder, &files, CALICO).await;
    let served = "/apis/projectcalico.org/v3/ippools";
    cluster.until("Calico's API", || async { !cluster.list(served).await.is_empty() }).await;
    let group = "/apis/operator.tigera.io/v1";
    for plural in ["whiskers", "goldmanes", "apiservers", "installations"] {
        cluster.delete(&format!("{group}/{plural}/default")).await;
    }
    let gone = |path: &str| {
        let (cluster, path) = (&cluster, path.to_owned());
        async move { cluster.get(&path).await.is_none() }
    };
    let installation = format!("{group}/installations/default");
    cluster.until("the Installation's end", || gone(&installation)).await;
    for namespace in ["calico-system", "calico-apiserver"] {
        let path = format!("/api/v1/namespaces/{namespace}");
        cluster.until(&format!("{namespace}'s end"), || gone(&path)).await;
    }
    for path in [
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/calico-cni-plugin",
        "/apis/apiregistration.k8s.io/v1/apiservices/v3.projectcalico.org",
    ] {
        assert!(gone(path).await, "{path}");
    }
    assert_eq!(cluster.list("/apis/crd.projectcalico.org/v1/ippools").await.len(), 1);
    for node in cluster.list("/api/v1/nodes").await {
        assert_eq!(condition(&node, "NetworkUnavailable"), "True", "calico-node says that it goes");
    }
}

#[tokio::test(start_paused = true)]
async fn calicos_api_server_by_manifest_waits_for_its_certificate() {
    let folder = manifests!("calicos_api_server_by_manifest_waits_for_its_certificate");
    let cluster = Cluster::with(&folder, &["calico-v3.30.3.yaml"], CALICO).await;
    cluster.install(&folder, "calico-apiserver-v3.30.3.yaml").await;
    let service = "/apis/apiregistration.k8s.io/v1/apiservices/v3.projectcalico.org";
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(condition(&cluster.get(service).await.unwrap(), "Available"), "False");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "calico-apiserver-certs", "namespace": "calico-apiserver"},
        "data": {"apiserver.crt": "YQ==", "apiserver.key": "YQ=="},
    });
    cluster.create("/api/v1/namespaces/calico-apiserver/secrets", &secret).await;
    cluster
        .until("Calico's API", || async {
            condition(&cluster.get(service).await.unwrap(), "Available") == "True"
        })
        .await;
    let policy = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet", "metadata": {"name": "offices"},
        "spec": {"nets": ["203.0.113.0/24"]},
    });
    cluster.create("/apis/projectcalico.org/v3/globalnetworksets", &policy).await;
    let stored = cluster.get("/apis/crd.projectcalico.org/v1/globalnetworksets/offices").await.unwrap();
    assert_eq!(stored["spec"]["nets"], json!(["203.0.113.0/24"]));
}

#[tokio::test(start_paused = true)]
async fn calico_removed_before_its_pods_leaves_them_terminating() {
    let folder = manifests!("calico_removed_before_its_pods_leaves_them_terminating");
    let cluster = Cluster::with(&folder, &["calico-v3.30.3.yaml"], CALICO).await;
    let pods = cluster.list("/api/v1/pods").await;
    let ours = pods
        .iter()
        .find(|pod| pod["spec"]["hostNetwork"] != true && text(pod, "/metadata/namespace") != "kube-system");
    let ours = ours.expect("workloads run");
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}",
        text(ours, "/metadata/namespace"),
        text(ours, "/metadata/name")
    );
    cluster.uninstall(&folder, "calico-v3.30.3.yaml").await;
    cluster.delete(&path).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let stuck = cluster.get(&path).await.expect("it can't go");
    assert!(stuck["metadata"]["deletionTimestamp"].is_string());
    let events = cluster.list("/api/v1/events").await;
    assert!(events.iter().any(|event| event["reason"] == "FailedKillPod"));
}
