//! The facts that a plan rests on. They are compared before the first record of a run; what
//! changes without consequence (pods that come and go, blocks, readiness) is not among them.

use super::Assessment;
use crate::canonical;
use crate::checks::Severity;
use crate::cidr;
use crate::cni::calico::ranges;
use crate::state::ClusterState;
use serde::Serialize;
use std::collections::BTreeMap;

const FINDING: &str = "consent needed: ";

/// The facts, by a readable name.
pub fn of(state: &ClusterState, assessment: &Assessment) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for node in state.nodes.values() {
        let ranges = cidr::join(&node.pod_cidrs);
        facts.insert(format!("Node {}", node.name), format!("uid {}, podCIDRs {ranges}", node.uid));
    }
    if let Some(install) = &assessment.install {
        let agents: Vec<String> =
            install.agents.iter().map(|a| format!("{} uid {}", a.id.object, a.id.uid)).collect();
        facts.insert(
            "Calico".into(),
            format!(
                "{} {}, {} datastore, {}",
                install.kind,
                install.version,
                install.datastore,
                agents.join(", ")
            ),
        );
    }
    let pools: Vec<_> = ranges::pools(&state.inventory).into_iter().collect();
    facts.insert("Calico's pools".into(), cidr::join(&pools));
    facts.insert("Services' ranges".into(), cidr::join(&state.service_ranges));
    facts.insert("Calico's objects".into(), digest(&belongings(assessment)));
    if let Some(kubeadm) = &state.kubeadm {
        facts.insert("controlPlaneEndpoint".into(), kubeadm.control_plane_endpoint.clone());
        facts.insert("kubeadm's podSubnet".into(), cidr::join(&kubeadm.pod_subnet));
        facts.insert("kubeadm's controllerManager.extraArgs".into(), flags(&kubeadm.controller_manager_args));
    }
    for (node, manager) in &state.controller_managers {
        let kept = |name: &str| name.contains("cidr");
        let relevant =
            manager.flags.iter().filter(|(k, _)| kept(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
        facts.insert(format!("controller-manager of {node}"), flags(&relevant));
    }
    if let Some(proxy) = &state.kube_proxy {
        facts.insert("kube-proxy's clusterCIDR".into(), cidr::join(&proxy.cluster_cidr));
    }
    for finding in assessment.findings.iter().filter(|f| f.severity <= Severity::Consent) {
        facts.insert(format!("{FINDING}{} {}", finding.code, finding.object), "present".into());
    }
    facts
}

/// One fact that is not as the plan knew it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Its name.
    pub fact: String,
    /// What the plan knew; empty if it is new.
    pub planned: String,
    /// What is so now; empty if it is gone.
    pub now: String,
}

/// Whether a fact is a finding that stands in the way unless somebody accepts it.
pub fn asks_for_consent(fact: &str) -> bool {
    fact.starts_with(FINDING)
}

/// The facts that differ in a way that matters. A finding that went away by itself does not.
pub fn changes(planned: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<Change> {
    let names: std::collections::BTreeSet<&String> = planned.keys().chain(now.keys()).collect();
    let value =
        |facts: &BTreeMap<String, String>, name: &String| facts.get(name).cloned().unwrap_or_default();
    names
        .into_iter()
        .filter(|name| planned.get(*name) != now.get(*name))
        .filter(|name| !asks_for_consent(name) || now.contains_key(*name))
        .map(|name| Change { fact: name.clone(), planned: value(planned, name), now: value(now, name) })
        .collect()
}

fn belongings(assessment: &Assessment) -> Vec<String> {
    let mut names: Vec<String> = assessment.calico.all().map(|id| id.object.to_string()).collect();
    names.sort();
    names
}

fn digest<T: Serialize>(value: &T) -> String {
    canonical::digest(value).map(|d| d.as_str().chars().take(16).collect()).unwrap_or_default()
}

fn flags(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
}
