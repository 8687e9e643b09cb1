//! What Calico does for a cluster that Flannel won't.

use super::{GROUPS, ranges};
use crate::object::Object;
use crate::state::{ClusterState, Inventory};
use serde_json::Value;

/// A feature in use that ends with Calico.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The object that asks for it.
    pub object: String,
    /// What ends.
    pub what: String,
}

/// Whether the eBPF datapath is on.
pub fn ebpf(inventory: &Inventory) -> bool {
    calico(inventory, "FelixConfiguration")
        .any(|felix| felix.at("/spec/bpfEnabled") == Some(&Value::Bool(true)))
        || inventory
            .of("operator.tigera.io", "Installation")
            .any(|i| i.text("/spec/calicoNetwork/linuxDataplane") == Some("BPF"))
}

/// Everything in use that ends with Calico, policies aside.
pub fn in_use(state: &ClusterState) -> Vec<Feature> {
    let inventory = &state.inventory;
    let mut found = Vec::new();
    let mut tell = |object: &Object, what: &str| {
        found.push(Feature { object: object.id.object.to_string(), what: what.to_owned() });
    };
    for felix in calico(inventory, "FelixConfiguration") {
        let on = |key: &str| felix.at(key) == Some(&Value::Bool(true));
        if on("/spec/bpfEnabled") {
            tell(felix, "the eBPF datapath; kube-proxy takes Services over again");
        }
        if on("/spec/wireguardEnabled") || on("/spec/wireguardEnabledV6") {
            tell(felix, "WireGuard encryption between nodes (Flannel has it with backend wireguard)");
        }
    }
    for peer in calico(inventory, "BGPPeer") {
        tell(peer, "BGP peering: pod routes are no longer announced to this peer");
    }
    for config in calico(inventory, "BGPConfiguration") {
        if ["/spec/serviceClusterIPs", "/spec/serviceExternalIPs", "/spec/serviceLoadBalancerIPs"]
            .iter()
            .any(|key| config.at(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty()))
        {
            tell(config, "announcing Service addresses over BGP");
        }
    }
    for endpoint in calico(inventory, "HostEndpoint") {
        tell(endpoint, "policies on this host's own interfaces");
    }
    for pool in ranges::pool_objects(inventory) {
        let uses = pool.at("/spec/allowedUses").and_then(Value::as_array);
        if uses.is_some_and(|uses| uses.iter().any(|u| u == "LoadBalancer")) {
            tell(pool, "addresses for Services of type LoadBalancer");
        }
    }
    found
}

/// Objects of one kind in any of Calico's groups, each once.
pub fn calico<'a>(inventory: &'a Inventory, kind: &'a str) -> impl Iterator<Item = &'a Object> {
    let group = GROUPS.into_iter().find(|group| inventory.of(group, kind).next().is_some());
    group.into_iter().flat_map(move |group| inventory.of(group, kind))
}
