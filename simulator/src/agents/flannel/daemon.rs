//! flanneld's life: configuration, lease, subnet file, peers.

use std::collections::BTreeMap;

use futures::StreamExt;
use serde::Deserialize;

use super::lease::{self, Lease, acquire};
use super::net_conf::{NetConf, gateway};
use crate::agents::support::{Doing, Fatal, patiently, unless_stopped};
use crate::machines::api::{Api, ApiFailure, Change, core, text};
use crate::machines::{HostHandle, Interface, ProgramContext};

/// The fact that a running flanneld publishes on its host: `podCIDR via public-ip` of every peer
/// that it has routes to, one a line. Routes outlive the process, and so does the fact.
pub const PEERS: &str = "flannel/peers";

const BRIDGE_FILTER: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// Runs until it is asked to stop.
pub(super) async fn run(context: &ProgramContext) -> Result<(), Fatal> {
    if context.flag("kube-subnet-mgr").is_none() && !context.env.contains_key("FLANNELD_KUBE_SUBNET_MGR") {
        return Err(Fatal::Because("failed to create SubnetManager: no etcd endpoint answers".to_owned()));
    }
    let api = Api::new(context.client.clone());
    let node = own_node(context, &api).await?;
    // The node controller's cache has to fill before anything else happens.
    let filled = patiently(context.durations.program_retry, || api.answers("/api/v1/nodes"));
    if unless_stopped(context, filled).await.is_none() {
        return Ok(());
    }
    let path =
        context.flag("net-config-path").unwrap_or_else(|| "/etc/kube-flannel/net-conf.json".to_owned());
    let content = context.files.read_text(&path);
    let content = content.ok_or_else(|| {
        Fatal::Because(format!("failed to read net conf: open {path}: no such file or directory"))
    })?;
    let conf = NetConf::parse(&content)?;
    if !context.host.files().exists(BRIDGE_FILTER) {
        return Err(Fatal::Because(format!(
            "failed to check br_netfilter: stat {BRIDGE_FILTER}: no such file or directory"
        )));
    }
    let Some(lease) = unless_stopped(context, acquire(context, &api, &node, &conf)).await else {
        return Ok(());
    };
    let lease = lease?;
    make_device(&context.host, &conf, &lease, context);
    write_subnet_file(context, &conf, &lease)?;
    tokio::time::sleep(context.durations.probe).await;
    context.set_ready(true);
    // Whatever else happens to the API, flanneld goes on with what it knows.
    unless_stopped(context, follow_peers(context, &api, &node)).await;
    Ok(())
}

/// The node's name, from the environment or from the pod's own object.
async fn own_node(context: &ProgramContext, api: &Api) -> Result<String, Fatal> {
    let variable = |name: &str| context.env.get(name).cloned().filter(|value| !value.is_empty());
    if let Some(node) = variable("NODE_NAME") {
        return Ok(node);
    }
    let (Some(name), Some(namespace)) = (variable("POD_NAME"), variable("POD_NAMESPACE")) else {
        return Err(Fatal::Because("env variables POD_NAME and POD_NAMESPACE must be set".to_owned()));
    };
    let pod = api.get(&core(&namespace, "pods", &name)).await.doing("error retrieving pod spec")?;
    match text(&pod, "/spec/nodeName") {
        "" => Err(Fatal::Because(format!("node name not present in pod spec of {namespace}/{name}"))),
        node => Ok(node.to_owned()),
    }
}

fn make_device(host: &HostHandle, conf: &NetConf, lease: &Lease, context: &ProgramContext) {
    let Some((name, kind)) = conf.device() else { return };
    let addresses = [lease.v4, lease.v6].into_iter().flatten();
    let addresses = addresses.map(|net| format!("{}/{}", net.network(), net.max_prefix_len())).collect();
    let mac = (kind == "vxlan").then(|| lease::mac(context, "v4"));
    host.set_interface(&name, Interface { kind: kind.to_owned(), addresses, mac, up: true });
}

fn write_subnet_file(context: &ProgramContext, conf: &NetConf, lease: &Lease) -> Result<(), Fatal> {
    let path = context.flag("subnet-file").unwrap_or_else(|| "/run/flannel/subnet.env".to_owned());
    let mut lines = Vec::new();
    for (infix, network, subnet) in [("", conf.v4, lease.v4), ("IPV6_", conf.v6, lease.v6)] {
        if let (Some(network), Some(subnet)) = (network, subnet) {
            lines.push(format!("FLANNEL_{infix}NETWORK={network}"));
            lines.push(format!("FLANNEL_{infix}SUBNET={}", gateway(&subnet)));
        }
    }
    let masquerade = context.flag("ip-masq").is_some()
        || context.env.get("FLANNELD_IP_MASQ").is_some_and(|on| on == "true");
    lines.push(format!("FLANNEL_MTU={}", conf.mtu));
    lines.push(format!("FLANNEL_IPMASQ={masquerade}\n"));
    context
        .files
        .write(&path, lines.join("\n"), 0o644)
        .map_err(|error| Fatal::Because(format!("failed to write subnet file: {error}")))
}

/// Keeps routes to every announced peer; there is no range check on them.
async fn follow_peers(context: &ProgramContext, api: &Api, own: &str) {
    loop {
        // A watch ends now and then; what happened meanwhile is in the next list.
        if let Err(failure) = follow_once(context, api, own).await {
            tracing::debug!(node = %context.node, "flanneld follows its peers again: {failure}");
        }
        tokio::time::sleep(context.durations.program_retry).await;
    }
}

async fn follow_once(context: &ProgramContext, api: &Api, own: &str) -> Result<(), ApiFailure> {
    const NODES: &str = "/api/v1/nodes";
    let (nodes, version) = api.list_as::<Peer>(NODES).await?;
    let mut peers = Peers::default();
    for node in &nodes {
        peers.see(own, node);
    }
    peers.publish(&context.host);
    let mut changes = std::pin::pin!(api.watch_as::<Peer>(NODES, "", &version).await?);
    while let Some(change) = changes.next().await {
        let changed = match change? {
            Change::Applied(node) => peers.see(own, &node),
            Change::Deleted(node) => peers.routes.remove(&node.metadata.name).is_some(),
            Change::Bookmark(_) => false,
        };
        if changed {
            peers.publish(&context.host);
        }
    }
    Ok(())
}

/// A Node as far as its peers care: every flanneld hears of every change of every Node, so that
/// whatever else is in one is not even read.
#[derive(Clone, Debug, Deserialize)]
struct Peer {
    metadata: PeerMetadata,
    #[serde(default)]
    spec: PeerSpec,
}

#[derive(Clone, Debug, Deserialize)]
struct PeerMetadata {
    name: String,
    #[serde(default)]
    annotations: PeerAnnotations,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct PeerAnnotations {
    #[serde(default, rename = "flannel.alpha.coreos.com/kube-subnet-manager")]
    kube_subnet_manager: String,
    #[serde(default, rename = "flannel.alpha.coreos.com/public-ip")]
    public_ip: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct PeerSpec {
    #[serde(default, rename = "podCIDR")]
    pod_cidr: String,
}

/// Routes by the peers' names.
#[derive(Default)]
struct Peers {
    routes: BTreeMap<String, String>,
}

impl Peers {
    /// Takes a Node in; `true` if that changes a route.
    fn see(&mut self, own: &str, node: &Peer) -> bool {
        let name = &node.metadata.name;
        let annotations = &node.metadata.annotations;
        let cidr = &node.spec.pod_cidr;
        if name == own || annotations.kube_subnet_manager != "true" || cidr.is_empty() {
            return self.routes.remove(name).is_some();
        }
        let route = format!("{cidr} via {}", annotations.public_ip);
        if self.routes.get(name) == Some(&route) {
            return false;
        }
        self.routes.insert(name.clone(), route);
        true
    }

    fn publish(&self, host: &HostHandle) {
        let lines: Vec<&str> = self.routes.values().map(String::as_str).collect();
        host.publish(PEERS, &lines.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_peer_is_who_announced_itself_whatever_its_range() {
        let node = |name: &str, managed: &str| {
            let node = json!({
                "metadata": {"name": name, "annotations": {
                    "flannel.alpha.coreos.com/kube-subnet-manager": managed, "flannel.alpha.coreos.com/public-ip": "10.0.0.9",
                }},
                "spec": {"podCIDR": "192.168.9.0/24"},
            });
            serde_json::from_value::<Peer>(node).unwrap()
        };
        let mut peers = Peers::default();
        assert!(!peers.see("w1", &node("w1", "true")));
        assert!(!peers.see("w1", &node("w2", "false")));
        assert!(peers.see("w1", &node("w2", "true")));
        assert!(!peers.see("w1", &node("w2", "true")));
        assert_eq!(peers.routes["w2"], "192.168.9.0/24 via 10.0.0.9");
    }
}
