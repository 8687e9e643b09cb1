//! The node's Lease: the sign of life that the controller-manager looks at.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Message;
use super::node::Session;
use crate::machines::api::{Api, ApiFailure};
use crate::machines::machine::Machine;

const COLLECTION: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// Renews the Lease until the kubelet's process ends.
pub(super) fn start(session: &Session, sender: mpsc::UnboundedSender<Message>) {
    let (machine, api, node) = (session.machine.clone(), session.api.clone(), session.node.clone());
    let stop = session.stop.clone();
    session.machine.site.tasks.spawn(async move { renew(machine, api, node, stop, sender).await });
}

async fn renew(
    machine: Arc<Machine>,
    api: Api,
    node: String,
    stop: CancellationToken,
    sender: mpsc::UnboundedSender<Message>,
) {
    let durations = machine.site.durations.clone();
    let mut lease = None;
    let mut last = Instant::now();
    loop {
        let silent = machine.site.suffers("kubelet-stops", &machine.name);
        let pause = if silent {
            durations.api_retry
        } else {
            match renewed(&machine, &api, &node, lease.take()).await {
                Ok(renewed) => {
                    lease = Some(renewed);
                    if last.elapsed() >= durations.lease_renew * 2 {
                        let _ = sender.send(Message::Heard);
                    }
                    last = Instant::now();
                    durations.lease_renew
                }
                Err(failure) if failure.is_conflict() || failure.is_not_found() => durations.lease_renew / 10,
                Err(_) => durations.api_retry,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn renewed(
    machine: &Machine,
    api: &Api,
    node: &str,
    lease: Option<Value>,
) -> Result<Value, ApiFailure> {
    let path = format!("{COLLECTION}/{node}");
    let now = machine.site.clock.micro_now();
    let lease = match lease {
        Some(lease) => Some(lease),
        None => api.find(&path).await?,
    };
    if let Some(mut lease) = lease {
        lease["spec"]["renewTime"] = json!(now);
        lease["spec"]["holderIdentity"] = json!(node);
        return api.update(&path, &lease).await;
    }
    // Without its Node, the owner, there is no Lease: a deleted Node stays deleted.
    let owner = api.get(&format!("/api/v1/nodes/{node}")).await?;
    let seconds = machine.site.durations.lease_duration.as_secs();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": node,
            "namespace": "kube-node-lease",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node, "uid": owner["metadata"]["uid"]}],
        },
        "spec": {"holderIdentity": node, "leaseDurationSeconds": seconds, "renewTime": now},
    });
    api.create(COLLECTION, &lease).await
}
