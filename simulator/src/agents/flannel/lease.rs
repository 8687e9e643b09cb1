//! A node's lease: its podCIDR, announced in its annotations.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::net_conf::NetConf;
use crate::agents::support::{Doing, Fatal};
use crate::machines::ProgramContext;
use crate::machines::api::{Api, Patch, core, text};

/// What a node got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) v4: Option<IpNet>,
    pub(super) v6: Option<IpNet>,
}

fn pod_cidrs(node: &Value) -> Vec<IpNet> {
    let listed = node["spec"]["podCIDRs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut cidrs: Vec<IpNet> = listed.filter_map(|cidr| cidr.parse().ok()).collect();
    if cidrs.is_empty() {
        cidrs.extend(text(node, "/spec/podCIDR").parse::<IpNet>());
    }
    cidrs
}

/// A hardware address that is this host's own.
pub(super) fn mac(context: &ProgramContext, device: &str) -> String {
    let mut hash = context
        .host
        .identity()
        .machine_id
        .bytes()
        .chain(device.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    hash = hash & 0xfcff_ffff_ffff | 0x0200_0000_0000;
    let bytes = hash.to_be_bytes();
    bytes[2..].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn backend_data(conf: &NetConf, context: &ProgramContext, device: &str) -> String {
    match conf.backend.as_str() {
        "vxlan" => json!({"VNI": conf.vni, "VtepMAC": mac(context, device)}).to_string(),
        "wireguard" => json!({"PublicKey": mac(context, "wireguard")}).to_string(),
        _ => "null".to_owned(),
    }
}

/// Announces the node, then looks whether its podCIDR is one that it may use: in this order, so
/// that a node outside the network is announced all the same.
pub(super) async fn acquire(
    context: &ProgramContext,
    api: &Api,
    node_name: &str,
    conf: &NetConf,
) -> Result<Lease, Fatal> {
    let prefix =
        context.flag("kube-annotation-prefix").unwrap_or_else(|| "flannel.alpha.coreos.com".to_owned());
    let path = core("", "nodes", node_name);
    let node = api.get(&path).await.doing("failed to acquire lease")?;
    if text(&node, "/spec/podCIDR").is_empty() {
        return Err(Fatal::Because(format!(
            "failed to acquire lease: node \"{node_name}\" pod cidr not assigned"
        )));
    }
    let cidrs = pod_cidrs(&node);
    let of = |v4: bool| cidrs.iter().find(|cidr| matches!(cidr, IpNet::V4(_)) == v4).copied();
    let mut annotations = Map::new();
    let mut announce = |key: &str, value: String| {
        annotations.insert(format!("{prefix}/{key}"), json!(value));
    };
    let known = |key: &str| {
        text(&node["metadata"]["annotations"], &format!("/{}", key.replace('/', "~1"))).to_owned()
    };
    let address = |v4: bool, keys: [&str; 2]| {
        let ours = context.host.identity().addresses.iter().find(|ip: &&IpAddr| ip.is_ipv4() == v4);
        let overwrite =
            keys.map(|key| known(&format!("{prefix}/{key}"))).into_iter().find(|ip| !ip.is_empty());
        overwrite.or_else(|| ours.map(ToString::to_string)).unwrap_or_default()
    };
    announce("kube-subnet-manager", "true".to_owned());
    announce("backend-type", conf.backend.clone());
    if conf.v4.is_some() {
        announce("backend-data", backend_data(conf, context, "v4"));
        announce("public-ip", address(true, ["public-ip-overwrite", "node-public-ip"]));
    }
    if conf.v6.is_some() {
        announce("backend-v6-data", backend_data(conf, context, "v6"));
        announce("public-ipv6", address(false, ["public-ipv6-overwrite", "node-public-ipv6"]));
    }
    let patch = json!({"metadata": {"annotations": annotations}});
    let status = format!("{path}/status");
    api.patch(&status, Patch::Strategic, &patch).await.doing("failed to acquire lease")?;
    let checked = |network: Option<IpNet>, cidr: Option<IpNet>| -> Result<Option<IpNet>, Fatal> {
        let Some(network) = network else { return Ok(None) };
        match cidr {
            Some(cidr) if network.contains(&cidr) => Ok(Some(cidr)),
            Some(cidr) => Err(Fatal::Because(format!(
                "failed to acquire lease: subnet \"{network}\" specified in the flannel net config doesn't \
                 contain \"{cidr}\" PodCIDR of the \"{node_name}\" node"
            ))),
            None => Err(Fatal::Because(format!(
                "failed to acquire lease: node \"{node_name}\" has no pod cidr of the family of {network}"
            ))),
        }
    };
    let lease = Lease { v4: checked(conf.v4, of(true))?, v6: checked(conf.v6, of(false))? };
    let now = context.clock.now_rfc3339();
    let condition = json!({"status": {"conditions": [{
        "type": "NetworkUnavailable", "status": "False", "reason": "FlannelIsUp",
        "message": "Flannel is running on this node",
        "lastTransitionTime": now, "lastHeartbeatTime": now,
    }]}});
    if context.flag("set-node-network-unavailable").as_deref() != Some("false") {
        api.patch(&status, Patch::Strategic, &condition).await.doing("failed to set the node's condition")?;
    }
    Ok(lease)
}
