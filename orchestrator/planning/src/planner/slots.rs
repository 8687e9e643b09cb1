//! The order of nodes, and what each replacement is given.

use super::network::Network;
use super::{NotPlanned, network, travel};
use crate::cidr::NodeCidrs;
use crate::ids::{MachineId, SlotId};
use crate::intent::Intent;
use crate::plan::allocation::OldNode;
use crate::plan::{Allocation, Slot};
use crate::state::{ClusterState, NodeState};
use ipnet::IpNet;
use replank_provider_protocol::{Keeping, Replacement, Role};
use std::collections::BTreeSet;

/// One slot per node: the canary, the other workers by name, the control planes by name.
pub(super) fn order(
    state: &ClusterState,
    intent: &Intent,
    network: &Network,
) -> Result<Vec<Slot>, NotPlanned> {
    let nodes = ordered(state, intent)?;
    let used: Vec<IpNet> = network::used(state).into_iter().map(|(range, _)| range).collect();
    let mut columns = Vec::new();
    for range in &network.ranges {
        let cidrs = NodeCidrs::new(*range, network.masks.for_range(range), used.clone());
        columns.push(cidrs.take(nodes.len())?);
    }
    let names: BTreeSet<&str> = state.nodes.keys().map(crate::ids::NodeName::as_str).collect();
    let replacement = state.provider.as_ref().map(|can| can.replacement).unwrap_or_default();
    let slot = |(at, node): (usize, &NodeState)| Slot {
        id: SlotId::new(node.name.as_str()),
        role: node.role,
        replacement,
        old: old(node),
        new: Allocation {
            machine_name: match replacement {
                Replacement::Fresh => successor(node.name.as_str(), &names),
                Replacement::InPlace => node.name.to_string(),
            },
            pod_cidrs: columns.iter().filter_map(|c| c.get(at).copied()).collect(),
            labels: travel::labels(node),
            taints: travel::taints(node),
        },
    };
    Ok(nodes.into_iter().enumerate().map(slot).collect())
}

fn ordered<'a>(state: &'a ClusterState, intent: &Intent) -> Result<Vec<&'a NodeState>, NotPlanned> {
    let of = |role: Role| state.nodes.values().filter(move |n| n.role == role);
    let mut workers: Vec<&NodeState> = of(Role::Worker).collect();
    if let Some(canary) = &intent.nodes.canary {
        let at = workers.iter().position(|n| n.name.as_str() == canary);
        let at = at.ok_or_else(|| NotPlanned::NoSuchCanary(canary.clone()))?;
        let canary = workers.remove(at);
        workers.insert(0, canary);
    }
    workers.extend(of(Role::ControlPlane));
    Ok(workers)
}

fn old(node: &NodeState) -> OldNode {
    let (machine, keeping) = match &node.machine {
        Some(machine) => (machine.id.clone(), machine.keeping),
        // A machine that nobody knows is a blocker; a plan never gets here without one.
        None => (MachineId::new(""), Keeping::Lost),
    };
    OldNode { name: node.name.clone(), uid: node.uid.clone(), machine, keeping }
}

/// The name of a node's successor: `worker-1`, `worker-1-r2`, `worker-1-r3`, whichever is free.
fn successor(name: &str, taken: &BTreeSet<&str>) -> String {
    let (stem, generation) = match name.rsplit_once("-r") {
        Some((stem, number)) => number.parse::<u32>().map_or((name, 1), |n| (stem, n)),
        None => (name, 1),
    };
    let mut generation = generation;
    loop {
        generation = generation.saturating_add(1);
        let candidate = format!("{stem}-r{generation}");
        if !taken.contains(candidate.as_str()) {
            return candidate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::successor;

    #[test]
    fn a_successor_counts_on_and_takes_no_name_twice() {
        assert_eq!(successor("worker-1", &["worker-1"].into()), "worker-1-r2");
        assert_eq!(successor("worker-1-r2", &["worker-1-r2"].into()), "worker-1-r3");
        assert_eq!(successor("a", &["a", "a-r2"].into()), "a-r3");
        assert_eq!(successor("web-rack", &["web-rack"].into()), "web-rack-r2");
    }
}
