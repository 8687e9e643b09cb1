//! Joins, static pods, etcd.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{KEY, World, condition};
use crate::machines::MachineRole;
use crate::machines::api::{core, text};

#[tokio::test(start_paused = true)]
async fn a_worker_boots_joins_and_becomes_ready_once_it_has_a_network() {
    let world = World::with_control_plane().await;
    let machine = world.join("w1", MachineRole::Worker).await;
    let node = world.node("w1").await;
    assert_eq!(text(&node, "/spec/providerID"), "simulator:///w1");
    assert_eq!(node["spec"]["taints"][0]["key"], "replank.dev/new");
    assert_eq!(text(&node, "/status/nodeInfo/systemUUID"), machine.system_uuid);
    assert_eq!(condition(&node, "Ready"), "False");
    let message = node["status"]["conditions"].to_string();
    assert!(message.contains("cni plugin not initialized"), "{message}");
    world.bridge("w1", "10.9.1.0/24");
    world.until("w1 Ready", || async { condition(&world.node("w1").await, "Ready") == "True" }).await;
    assert_eq!(world.machine("w1").node.as_deref(), Some("w1"));
    let lease =
        world.api.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/w1").await.unwrap();
    assert_eq!(lease["metadata"]["ownerReferences"][0]["name"], "w1");

    // Without any configuration it is NotReady after about seven seconds.
    world.run("w1", "mv /etc/cni/net.d/50-flat.conflist /root/").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(condition(&world.node("w1").await, "Ready"), "True");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(condition(&world.node("w1").await, "Ready"), "False");
}

#[tokio::test(start_paused = true)]
async fn a_join_with_a_wrong_or_expired_token_is_refused() {
    let world = World::with_control_plane().await;
    let path = core("kube-system", "secrets", "bootstrap-token-abcdef");
    world.api.delete(&path, &json!({})).await.unwrap();
    world.join("w1", MachineRole::Worker).await;
    world.until("the refusal", || async { world.console("w1").contains("token ID") }).await;
    assert!(world.console("w1").contains("runcmd failed with exit status 1"));
    assert!(world.machine("w1").node.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_changed_manifest_restarts_the_process_with_its_new_flags() {
    let world = World::with_control_plane().await;
    let name = "kube-controller-manager-cp1";
    let ready = |pod: &Option<Value>| pod.as_ref().is_some_and(|pod| condition(pod, "Ready") == "True");
    world.until("the mirror", || async { ready(&world.pod("kube-system", name).await) }).await;
    let before = world.pod("kube-system", name).await.unwrap();
    let annotations = &before["metadata"]["annotations"];
    assert_eq!(annotations["kubernetes.io/config.source"], "file");
    assert_eq!(annotations["kubernetes.io/config.mirror"], annotations["kubernetes.io/config.hash"]);
    let host = world.datacenter.host(&world.machine("cp1").id).unwrap();
    assert_eq!(host.published("cluster-cidr").as_deref(), Some("192.168.0.0/16"));

    let path = "/etc/kubernetes/manifests/kube-controller-manager.yaml";
    let manifest = host.files().read_text(path).unwrap();
    world.write("cp1", "/etc/kubernetes/manifests/.kcm.swp", "not a manifest");
    world.write("cp1", path, &manifest.replace("192.168.0.0/16", "10.244.0.0/16"));
    world
        .until("the new process", || async {
            host.published("cluster-cidr").as_deref() == Some("10.244.0.0/16")
        })
        .await;
    world.until("the new mirror", || async { ready(&world.pod("kube-system", name).await) }).await;
    let after = world.pod("kube-system", name).await.unwrap();
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_ne!(
        after["metadata"]["annotations"]["kubernetes.io/config.hash"],
        annotations["kubernetes.io/config.hash"]
    );
    assert_eq!(after["metadata"]["ownerReferences"][0]["kind"], "Node");

    // A deleted mirror comes back; the process does not notice.
    world.api.delete(&core("kube-system", "pods", name), &json!({"gracePeriodSeconds": 0})).await.unwrap();
    world.until("the mirror again", || async { ready(&world.pod("kube-system", name).await) }).await;
    let again = world.pod("kube-system", name).await.unwrap();
    assert_eq!(
        again["status"]["containerStatuses"][0]["containerID"],
        after["status"]["containerStatuses"][0]["containerID"]
    );

    // A manifest that is moved away ends the pod.
    world.run("cp1", &format!("mv {path} /root/")).await;
    world.until("its end", || async { world.pod("kube-system", name).await.is_none() }).await;
}

#[tokio::test(start_paused = true)]
async fn three_control_planes_lose_one_properly_and_then_their_majority() {
    let world = World::with_control_plane().await;
    for name in ["cp2", "cp3"] {
        let line = format!("kubeadm init phase upload-certs --upload-certs --certificate-key {KEY}");
        assert_eq!(world.run("cp1", &line).await.0, 0);
        world.join(name, MachineRole::ControlPlane).await;
        world.until(name, || async { world.console(name).contains("has joined the cluster") }).await;
        let node = world.node(name).await;
        assert!(node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"].is_string());
    }
    let id = world.run("cp2", "crictl ps --name ^etcd$ --state running -q").await.1.trim().to_owned();
    let (status, list) = world.run("cp2", &format!("crictl exec {id} etcdctl member list -w json")).await;
    assert_eq!(status, 0, "{list}");
    let list: Value = serde_json::from_str(&list).unwrap();
    let members = list["members"].as_array().unwrap().clone();
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|member| member["isLearner"].is_null()));

    // Member removal ends etcd and the API server there, and its kubelet goes blind.
    let first = members.iter().find(|member| member["name"] == "cp1").unwrap()["ID"].as_u64().unwrap();
    let (status, text) = world.run("cp2", &format!("crictl exec {id} etcdctl member remove {first:x}")).await;
    assert_eq!(status, 0, "{text}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.run("cp1", "crictl ps --name ^etcd$ --state running -q").await.1, "");
    assert!(world.server.direct("t").get(&crate::schema::builtin::NODES, "", "cp1").is_some());
    assert!(world.datacenter.etcd().has_quorum());
    let renewed = |name: &str| {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
        let api = world.api.clone();
        async move { api.get(&path).await.unwrap()["spec"]["renewTime"].clone() }
    };
    let (blind, seeing) = (renewed("cp1").await, renewed("cp2").await);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(renewed("cp1").await, blind);
    assert_ne!(renewed("cp2").await, seeing);

    // One of two stops without being removed: no majority, no API.
    world.datacenter.stop(&world.machine("cp3").id, crate::machines::Caller::default()).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!world.datacenter.etcd().has_quorum());
    assert!(world.api.get("/api/v1/nodes").await.is_err());
    world.datacenter.start(&world.machine("cp3").id, crate::machines::Caller::default()).unwrap();
    world.until("the majority", || async { world.api.get("/api/v1/nodes").await.is_ok() }).await;
}
