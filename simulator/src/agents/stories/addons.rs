//! kube-proxy's configuration, as its host tells it.

use serde_json::json;

use crate::agents;
use crate::machines::MachineRole;
use crate::machines::api::core;
use crate::machines::stories::world::World;

#[tokio::test(start_paused = true)]
async fn kube_proxy_runs_with_what_its_config_map_said_at_its_start() {
    let world = World::running(agents::programs()).initialised().await;
    world.join("w1", MachineRole::Worker).await;
    world.node("w1").await;
    let set = world.api.get("/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy").await.unwrap();
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "proxy", "namespace": "kube-system"},
        "spec": set["spec"]["template"]["spec"],
    });
    pod["spec"]["nodeName"] = json!("w1");
    world.api.create(&core("kube-system", "pods", ""), &pod).await.unwrap();
    world.until("kube-proxy's fact", || async { world.published("w1", agents::PROXY_CIDR).is_some() }).await;
    assert_eq!(world.published("w1", agents::PROXY_CIDR).as_deref(), Some("192.168.0.0/16"));
}
