//! Whether control planes can be replaced.

use super::{Code, Finding, Severity, Situation};
use crate::cidr;
use crate::state::{HostAccess, KubeadmConfig, NodeState};
use replank_provider_protocol::Role;
use std::net::IpAddr;

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    let Some(kubeadm) = &situation.state.kubeadm else {
        return vec![Finding::new(
            Severity::Blocker,
            Code::NotKubeadm,
            "ConfigMap kube-system/kubeadm-config",
            "it is missing or its ClusterConfiguration can't be read; replacements join with kubeadm, which renders a control plane from it.",
            "Restore it (kubeadm init phase upload-config kubeadm), or use a tool that knows how this cluster was made.",
        )];
    };
    let mut found = endpoint(situation, kubeadm);
    found.extend(control_planes(situation).flat_map(|node| host(situation, node)));
    found.extend(would_crash(situation));
    found
}

fn control_planes<'a>(situation: &'a Situation<'_>) -> impl Iterator<Item = &'a NodeState> {
    situation.state.nodes.values().filter(|n| n.role == Role::ControlPlane)
}

fn endpoint(situation: &Situation<'_>, kubeadm: &KubeadmConfig) -> Vec<Finding> {
    let endpoint = kubeadm.control_plane_endpoint.as_str();
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host).trim_matches(['[', ']']);
    let owner = host.parse::<IpAddr>().ok().and_then(|address| {
        situation.state.nodes.values().find(|n| n.addresses.contains(&address)).map(|n| n.name.clone())
    });
    let message = match (endpoint.is_empty(), owner) {
        (true, _) => "it is empty, so every node speaks to one control plane's own address, which goes away with its machine.".to_owned(),
        (false, Some(node)) => format!("{endpoint} is Node {node}'s own address, which goes away with its machine."),
        (false, None) => return Vec::new(),
    };
    vec![Finding::new(
        Severity::Blocker,
        Code::ControlPlaneEndpoint,
        "controlPlaneEndpoint",
        message,
        "Put a load balancer, a virtual address or a DNS name in front of the control planes, and that into kubeadm-config and every kubeconfig.",
    )]
}

fn host(situation: &Situation<'_>, node: &NodeState) -> Vec<Finding> {
    let object = format!("Node {}", node.name);
    match &node.host {
        HostAccess::None { reason } if situation.state.provider.is_some() => vec![Finding::new(
            Severity::Blocker,
            Code::HostUnreachable,
            object,
            format!(
                "its host can't be reached ({reason}), but the controller-manager's flags stand in a file there."
            ),
            "Use a provider with host access, or give one for this node.",
        )],
        HostAccess::None { .. } => Vec::new(),
        HostAccess::Reachable(inventory) if inventory.foreign_files.is_empty() => Vec::new(),
        HostAccess::Reachable(inventory) => {
            let files: Vec<&str> = inventory.foreign_files.keys().map(String::as_str).collect();
            vec![Finding::new(
                Severity::Blocker,
                Code::ForeignHostFiles,
                object,
                format!(
                    "its control plane needs files that kubeadm does not carry to a new one: {}.",
                    files.join(", ")
                ),
                "Let the image or the user-data of new control planes bring them, and remove them from this host's static manifests.",
            )]
        }
    }
}

/// A range of a Node outside cluster-cidr: the controller-manager exits at its next start.
fn would_crash(situation: &Situation<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, manager) in situation.state.controller_managers.iter().filter(|(_, m)| m.allocates()) {
        let network = cidr::parse_list(manager.flags.get("cluster-cidr").map_or("", String::as_str));
        let outside =
            |node: &&NodeState| node.pod_cidrs.iter().any(|range| !network.iter().any(|n| n.contains(range)));
        if let Some(node) = situation.state.nodes.values().find(outside).filter(|_| !network.is_empty()) {
            found.push(Finding::new(
                Severity::Warning,
                Code::ControllerManagerWouldCrash,
                format!("Node {name}"),
                format!(
                    "its controller-manager would not start again: Node {} has a podCIDR outside cluster-cidr {}.",
                    node.name,
                    cidr::join(&network)
                ),
                "The run repairs this when it holds the podCIDRs; until then don't restart it.",
            ));
        }
    }
    found
}
