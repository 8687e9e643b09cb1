//! What calico-node writes before it serves: Calico's defaults, and what its Node says of itself.

use std::net::IpAddr;

use serde_json::{Map, json};

use super::datastore::{ensure, object};
use crate::machines::ProgramContext;
use crate::machines::api::{ApiFailure, Patch, core};
use crate::machines::cni::calico::Datastore;
use crate::machines::cni::ipam;

/// Makes the objects that every installation has.
pub(super) async fn defaults(context: &ProgramContext, datastore: &Datastore) -> Result<(), ApiFailure> {
    cluster_information(context, datastore).await?;
    let felix = json!({"floatingIPs": "Disabled", "logSeverityScreen": "Info", "reportingInterval": "0s"});
    ensure(datastore, "felixconfigurations", &object(datastore, "FelixConfiguration", "default", felix))
        .await?;
    tiers(datastore).await;
    super::pools::ensure(context, datastore).await?;
    let ipam = json!({"autoAllocateBlocks": true, "strictAffinity": false});
    let kind = if datastore.group.ends_with("v3") { "ipamconfigurations" } else { "ipamconfigs" };
    // Older roles may not read it; the CNI plugin makes it then.
    let _ = ensure(datastore, kind, &object(datastore, "IPAMConfig", "default", ipam)).await;
    Ok(())
}

async fn cluster_information(context: &ProgramContext, datastore: &Datastore) -> Result<(), ApiFailure> {
    let version = image_tag(&context.image);
    let kind = context.env.get("CLUSTER_TYPE").cloned().unwrap_or_default();
    let collection = format!("{}/clusterinformations", datastore.group);
    let path = format!("{collection}/default");
    let kind = if kind.is_empty() { "kdd".to_owned() } else { format!("{kind},kdd") };
    let Some(mut known) = datastore.api.find(&path).await? else {
        let spec = json!({
            "calicoVersion": version,
            "clusterGUID": format!("{:016x}{:016x}", context.seed, context.seed.rotate_left(29)),
            "clusterType": kind,
            "datastoreReady": true,
        });
        return datastore
            .api
            .ensure(&collection, &object(datastore, "ClusterInformation", "default", spec))
            .await;
    };
    if known["spec"]["calicoVersion"] == version && known["spec"]["clusterType"] == kind {
        return Ok(());
    }
    known["spec"]["calicoVersion"] = json!(version);
    known["spec"]["clusterType"] = json!(kind);
    match datastore.api.update(&path, &known).await {
        // Another node was faster.
        Err(failure) if !failure.is_conflict() => Err(failure),
        _ => Ok(()),
    }
}

fn image_tag(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    match image.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag,
        _ => "",
    }
}

/// The tiers of versions that have them; without the kind, or the right to it, there are none.
async fn tiers(datastore: &Datastore) {
    for (name, order) in [
        ("default", 1_000_000.0),
        ("adminnetworkpolicy", 1_000.0),
        ("baselineadminnetworkpolicy", 10_000_000.0),
    ] {
        let tier = object(datastore, "Tier", name, json!({"order": order}));
        if ensure(datastore, "tiers", &tier).await.is_err() {
            return;
        }
    }
}

/// Whether this calico-node makes the network, or only enforces policy in another's.
pub(super) fn is_network(context: &ProgramContext) -> bool {
    context.env.get("CALICO_NETWORKING_BACKEND").is_none_or(|backend| backend != "none")
}

/// Writes the node's addresses into its annotations.
pub(super) async fn announce(
    context: &ProgramContext,
    datastore: &Datastore,
    node: &str,
) -> Result<(), ApiFailure> {
    if !is_network(context) {
        return Ok(());
    }
    let mut annotations = Map::new();
    let addresses = &context.host.identity().addresses;
    for (variable, key, v4, length) in [("IP", "IPv4Address", true, 24), ("IP6", "IPv6Address", false, 64)] {
        let wanted = context.env.get(variable).map(String::as_str).unwrap_or_default();
        let own = addresses.iter().find(|address: &&IpAddr| address.is_ipv4() == v4);
        let value = match wanted {
            "none" => None,
            "" if !v4 => None,
            "" | "autodetect" => own.map(|ip| format!("{ip}/{length}")),
            fixed => Some(fixed.to_owned()),
        };
        if let Some(value) = value {
            annotations.insert(format!("projectcalico.org/{key}"), json!(value));
        }
    }
    for (mode, key, handle, kind) in [
        ("ipipMode", "IPv4IPIPTunnelAddr", "ipip-tunnel-addr", "ipipTunnelAddress"),
        ("vxlanMode", "IPv4VXLANTunnelAddr", "vxlan-tunnel-addr", "vxlanTunnelAddress"),
    ] {
        let handle = format!("{handle}-{node}");
        if let Some(address) = ipam::tunnel_address(datastore, node, mode, (&handle, kind)).await? {
            annotations.insert(format!("projectcalico.org/{key}"), json!(address));
        }
    }
    let path = format!("{}/status", core("", "nodes", node));
    let patch = json!({"metadata": {"annotations": annotations}});
    datastore.api.patch(&path, Patch::Strategic, &patch).await
}

/// Says on the Node whether its network is there.
pub(super) async fn set_network(
    context: &ProgramContext,
    datastore: &Datastore,
    node: &str,
    up: bool,
) -> Result<(), ApiFailure> {
    let now = context.clock.now_rfc3339();
    let (status, reason, message) = match up {
        true => ("False", "CalicoIsUp", "Calico is running on this node"),
        false => ("True", "CalicoIsDown", "Calico is shutting down on this node"),
    };
    let patch = json!({"status": {"conditions": [{
        "type": "NetworkUnavailable", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now, "lastHeartbeatTime": now,
    }]}});
    datastore.api.patch(&format!("{}/status", core("", "nodes", node)), Patch::Strategic, &patch).await
}
