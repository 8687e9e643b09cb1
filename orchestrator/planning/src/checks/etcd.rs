//! Whether etcd has a healthy member on every control plane, as kubeadm's static pods tell.
//!
//! A control plane's replacement joins etcd before the old member leaves: with a member missing or down, the cluster
//! would stand without a quorum in between.

use super::{Code, Finding, Severity, Situation};
use crate::state::{NodeState, PodState};
use replank_provider_protocol::Role;

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    let nodes = situation.state.nodes.values().filter(|n| n.role == Role::ControlPlane);
    nodes.filter_map(|node| unhealthy(situation, node)).collect()
}

fn unhealthy(situation: &Situation<'_>, node: &NodeState) -> Option<Finding> {
    let member = situation.state.pods.iter().find(|pod| is_member(pod, node));
    let (object, message) = match member {
        None => (
            format!("Node {}", node.name),
            "no etcd runs on this control plane: a member is missing, or etcd runs elsewhere, and replank replaces control planes only together with the member on each.",
        ),
        Some(pod) if !pod.ready => (
            format!("Pod {}/{}", pod.namespace, pod.name),
            "this member of etcd is not ready; another one that leaves or fails meanwhile could cost the quorum, and with it the cluster.",
        ),
        Some(_) => return None,
    };
    let fix = "Let etcd have a ready member on every control plane first (kubectl --namespace kube-system get pods --selector component=etcd).";
    Some(Finding::new(Severity::Blocker, Code::EtcdUnhealthy, object, message, fix))
}

fn is_member(pod: &PodState, node: &NodeState) -> bool {
    pod.namespace == "kube-system"
        && pod.labels.get("component").is_some_and(|component| component == "etcd")
        && pod.node.as_ref() == Some(&node.name)
}
