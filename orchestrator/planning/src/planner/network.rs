//! The new network: the operator's, the user manifest's, or a free one.

use crate::checks::{Code, Finding, Severity};
use crate::cidr;
use crate::cni::calico::ranges;
use crate::cni::flannel::manifest::{self, Manifest};
use crate::intent::Intent;
use crate::state::ClusterState;
use ipnet::IpNet;
use std::collections::BTreeSet;

/// The decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The ranges, first family first.
    pub ranges: Vec<IpNet>,
    /// The nodes' podCIDRs, one list per node in the order asked for.
    pub masks: Masks,
    /// The user's own manifest, if there is one.
    pub manifest: Option<Manifest>,
}

/// The prefix lengths of nodes' podCIDRs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masks {
    /// For IPv4.
    pub ipv4: u8,
    /// For IPv6.
    pub ipv6: u8,
}

impl Masks {
    /// What the controller-manager uses: its flags, or its defaults (24 and 64).
    pub fn of(state: &ClusterState) -> Self {
        let flag = |name: &str| {
            state.controller_managers.values().find_map(|m| m.flags.get(name)?.parse::<u8>().ok())
        };
        let single = flag("node-cidr-mask-size");
        let dual = state.service_ranges.iter().any(|r| matches!(r, IpNet::V6(_)))
            && state.service_ranges.iter().any(|r| matches!(r, IpNet::V4(_)));
        let single = if dual { None } else { single };
        Self {
            ipv4: flag("node-cidr-mask-size-ipv4").or(single).unwrap_or(24),
            ipv6: flag("node-cidr-mask-size-ipv6").or(single).unwrap_or(64),
        }
    }

    /// The prefix length for one range's family.
    pub fn for_range(self, range: &IpNet) -> u8 {
        match range {
            IpNet::V4(_) => self.ipv4,
            IpNet::V6(_) => self.ipv6,
        }
    }
}

/// Everything that the new ranges must not meet, each with what it is.
pub fn used(state: &ClusterState) -> Vec<(IpNet, String)> {
    let mut used: Vec<(IpNet, String)> = Vec::new();
    used.extend(ranges::pools(&state.inventory).into_iter().map(|r| (r, format!("Calico's pool {r}"))));
    used.extend(ranges::blocks(&state.inventory).into_iter().map(|r| (r, format!("Calico's block {r}"))));
    used.extend(state.service_ranges.iter().map(|r| (*r, format!("the Services' range {r}"))));
    if let Some(kubeadm) = &state.kubeadm {
        used.extend(kubeadm.service_subnet.iter().map(|r| (*r, format!("the Services' range {r}"))));
        used.extend(kubeadm.pod_subnet.iter().map(|r| (*r, format!("the old pod network {r}"))));
    }
    for node in state.nodes.values() {
        used.extend(node.pod_cidrs.iter().map(|r| (*r, format!("the podCIDR {r} of Node {}", node.name))));
        used.extend(
            node.addresses
                .iter()
                .map(|a| (IpNet::from(*a), format!("the address {a} of Node {}", node.name))),
        );
    }
    // Where pools can't be read (etcd), the pods' own addresses tell of them.
    for pod in state.pods.iter().filter(|pod| !pod.host_network) {
        let told = |ip: &std::net::IpAddr| format!("the address {ip} of Pod {}/{}", pod.namespace, pod.name);
        used.extend(pod.ips.iter().map(|ip| (IpNet::from(*ip), told(ip))));
    }
    let mut seen = BTreeSet::new();
    used.retain(|(range, _)| seen.insert(*range));
    used
}

/// Decides on the network; or says what is wrong with the one that was asked for.
pub fn decide(state: &ClusterState, intent: &Intent) -> Result<Network, Vec<Finding>> {
    let Ok(manifest) = intent.network.manifest.as_deref().map(manifest::read).transpose() else {
        // A problem of the intent, not of the cluster: there is no plan for it, and nothing to find.
        return Err(Vec::new());
    };
    let masks = Masks::of(state);
    let used = used(state);
    let asked = if intent.network.pod_cidrs.is_empty() {
        manifest.as_ref().map(|m| m.networks.clone()).unwrap_or_default()
    } else {
        intent.network.pod_cidrs.clone()
    };
    let ranges = if asked.is_empty() { choose(state, masks, &used)? } else { asked };
    let mut problems = problems(state, &ranges, masks, &used);
    problems.extend(other_families(state, &ranges));
    if problems.is_empty() { Ok(Network { ranges, masks, manifest }) } else { Err(problems) }
}

/// A free range for each family that the cluster has.
fn choose(state: &ClusterState, masks: Masks, used: &[(IpNet, String)]) -> Result<Vec<IpNet>, Vec<Finding>> {
    let taken: Vec<IpNet> = used.iter().map(|(r, _)| *r).collect();
    let needed = needed(state);
    families(state)
        .into_iter()
        .map(|family| match family {
            Family::V4 => cidr::choose_ipv4(masks.ipv4, needed, &taken),
            Family::V6 => cidr::choose_ipv6(masks.ipv6, needed, &taken),
        })
        .collect::<Result<_, _>>()
        .map_err(|error| {
            vec![blocker(Code::RangesOverlap, "cluster", error.to_string(), "Name a range with --pod-cidr.")]
        })
}

/// One subnet more than there are nodes: a node that joins later needs one too.
fn needed(state: &ClusterState) -> usize {
    state.nodes.len() + 1
}

/// How many bits may lie between a range of IPv6 and its nodes' masks.
const LARGEST_V6: u8 = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

fn family_of(range: &IpNet) -> Family {
    if matches!(range, IpNet::V4(_)) { Family::V4 } else { Family::V6 }
}

/// The families of the old network, in its order; of the Services where no Node has a podCIDR.
fn families(state: &ClusterState) -> Vec<Family> {
    let old = state.nodes.values().map(|n| &n.pod_cidrs).max_by_key(|c| c.len());
    let old: Vec<Family> = old.into_iter().flatten().map(family_of).collect();
    let mut found = if old.is_empty() { state.service_ranges.iter().map(family_of).collect() } else { old };
    if found.is_empty() {
        found.push(Family::V4);
    }
    found
}

fn problems(state: &ClusterState, ranges: &[IpNet], masks: Masks, used: &[(IpNet, String)]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, range) in ranges.iter().enumerate() {
        let object = format!("pod network {range}");
        if let Some(other) = cidr::first_overlap(range, &ranges[..at]) {
            found.push(overlap(&object, range, &format!("{other}, the other range of the new network")));
        }
        for (_, what) in used.iter().filter(|(other, _)| cidr::overlap(range, other)).take(1) {
            found.push(overlap(&object, range, what));
        }
        // The controller-manager keeps a bit for every subnet and refuses to start with more than 2^16 of IPv6.
        let bits = masks.for_range(range).saturating_sub(range.prefix_len());
        if matches!(range, IpNet::V6(_)) && bits > LARGEST_V6 {
            found.push(blocker(
                Code::RangeTooLarge,
                &object,
                format!(
                    "{range} holds 2^{bits} subnets of /{}, and a controller-manager refuses to start with more than 2^{LARGEST_V6}.",
                    masks.for_range(range)
                ),
                "Choose a smaller range with --pod-cidr.",
            ));
        }
        let subnets = cidr::NodeCidrs::new(*range, masks.for_range(range), Vec::new());
        if let Err(error) = subnets.take(needed(state)) {
            found.push(blocker(
                Code::RangeTooSmall,
                &object,
                format!("{error} (every node, and one to spare)."),
                "Choose a larger range with --pod-cidr.",
            ));
        }
    }
    found
}

/// The new network has the families of the old one: Services and Nodes are made for those.
fn other_families(state: &ClusterState, ranges: &[IpNet]) -> Option<Finding> {
    let name = |family: &Family| if *family == Family::V4 { "IPv4" } else { "IPv6" };
    let (old, new) = (families(state), ranges.iter().map(family_of).collect::<Vec<_>>());
    let same = old.len() == new.len() && old.iter().all(|family| new.contains(family));
    let list = |families: &[Family]| families.iter().map(name).collect::<Vec<_>>().join(" and ");
    (!same).then(|| {
        blocker(
            Code::FamiliesDiffer,
            "pod network",
            format!(
                "the cluster's pods have addresses of {}, and the new network would give them {}.",
                list(&old),
                list(&new)
            ),
            "Name one range of each family of the cluster with --pod-cidr, or leave it out and let replank choose.",
        )
    })
}

fn overlap(object: &str, range: &IpNet, other: &str) -> Finding {
    blocker(
        Code::RangesOverlap,
        object,
        format!(
            "{range} shares addresses with {other}; while both networks exist, packets would go to the wrong one."
        ),
        "Choose another range with --pod-cidr, or leave it out and let replank choose.",
    )
}

fn blocker(code: Code, object: &str, message: String, fix: &str) -> Finding {
    Finding { severity: Severity::Blocker, code, object: object.to_owned(), message, fix: fix.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::given::{Given, manifest};
    use crate::planner::{NotPlanned, plan};

    fn ranges(given: &Given) -> Vec<String> {
        let network = decide(&given.state, &given.intent).unwrap();
        network.ranges.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_cluster_of_many_nodes_gets_a_range_that_holds_them() {
        let mut given = Given::cluster();
        let like = given.node("w1").clone();
        for at in given.state.nodes.len()..300 {
            given.state.nodes.insert(format!("more-{at}").as_str().into(), like.clone());
        }
        assert_eq!(ranges(&given), ["10.244.0.0/15"]);
    }

    #[test]
    fn a_manifest_of_the_users_own_brings_its_range() {
        let mut given = Given::cluster();
        given.intent.network.manifest = Some(manifest("10.77.0.1/16", "own-flannel"));
        assert_eq!(ranges(&given), ["10.77.0.0/16"]);
    }

    #[test]
    fn a_wish_that_can_not_be_meant_is_no_finding() {
        let mut given = Given::cluster();
        given.intent.network.manifest = Some("replicas: 3".into());
        assert!(given.findings().iter().all(|f| !f.message.contains("manifest")));
        let refused = plan(&given.state, &given.intent, "test").unwrap_err();
        assert!(matches!(&refused, NotPlanned::NotMeant(problems) if problems.len() == 1), "{refused}");
        assert!(refused.to_string().contains("network.manifest: document 1"), "{refused}");
    }
}
