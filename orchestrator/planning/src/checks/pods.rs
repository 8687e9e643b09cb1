//! Pods that lose something when they leave their node.

use super::{Code, Finding, Severity, Situation, pod_key};
use crate::state::{Owner, PodPhase, PodState, PodVolume};

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    let moves = |pod: &&PodState| {
        !matches!(pod.owner, Owner::Mirror | Owner::DaemonSet { .. })
            && !matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed)
            && !situation.is_calicos(pod)
    };
    situation.state.pods.iter().filter(moves).flat_map(of_pod).collect()
}

fn of_pod(pod: &PodState) -> Vec<Finding> {
    let mut found = Vec::new();
    if pod.owner == Owner::Bare {
        found.push(Finding::new(
            Severity::Consent,
            Code::BarePod,
            pod_key(pod),
            "no controller makes it again: when its node is drained it is gone.",
            "Let a Deployment or a Job make it, or accept bare-pod for it.",
        ));
    }
    for volume in &pod.volumes {
        found.extend(of_volume(pod, volume));
    }
    found
}

fn of_volume(pod: &PodState, volume: &PodVolume) -> Option<Finding> {
    let key = pod_key(pod);
    match volume {
        PodVolume::EmptyDir { name } => Some(Finding::new(
            Severity::Consent,
            Code::EmptyDir,
            key,
            format!("what its pods keep in the emptyDir {name} is lost when they leave their node."),
            "Make sure it is only a cache, then accept empty-dir for it.",
        )),
        PodVolume::HostPath { path } => Some(Finding::new(
            Severity::Warning,
            Code::LocalVolume,
            key,
            format!("its pods use {path} of their node; on a new machine it is empty."),
            "Copy the data, or let the new machine's user-data bring it.",
        )),
        PodVolume::Claim { claim, local_to: Some(node) } => Some(Finding::new(
            Severity::Consent,
            Code::LocalVolume,
            format!("Pod {}/{}", pod.namespace, pod.name),
            format!(
                "its claim {claim} lives on Node {node} and can't leave it: the pod stays Pending once the node is gone, until the claim is deleted."
            ),
            "Move the data to a volume that can be attached elsewhere, or accept local-volume for it.",
        )),
        PodVolume::Claim { local_to: None, .. } => None,
    }
}
