//! Whether there is a Calico to migrate from, whether it may be touched, and what ends with it.

use super::{Code, Finding, Severity, Situation};
use crate::cni::calico::detect::{Datastore, Detection};
use crate::cni::calico::features;

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    let mut found = present(situation);
    found.extend(busy(situation));
    found.extend(export(situation));
    found.extend(services(situation));
    found.extend(kept_namespaces(situation));
    found.extend(features::in_use(situation.state).into_iter().map(|feature| {
        Finding::new(
            Severity::Warning,
            Code::FeatureLost,
            feature.object,
            format!("this ends with Calico: {}.", feature.what),
            "Make sure that nobody relies on it, or provide it by other means first.",
        )
    }));
    found
}

fn present(situation: &Situation<'_>) -> Vec<Finding> {
    let message = match situation.detection {
        Detection::Found(_) => return Vec::new(),
        Detection::Nothing => "no DaemonSet runs Calico's agent and no operator Installation exists, so there is nothing to migrate from.".to_owned(),
        Detection::Several(agents) => {
            let names: Vec<String> = agents.iter().map(|a| a.id.object.to_string()).collect();
            format!("more than one DaemonSet runs Calico's agent: {}.", names.join(", "))
        }
    };
    vec![Finding::new(
        Severity::Blocker,
        Code::CalicoNotFound,
        "cluster",
        message,
        "Point replank at the cluster whose network is one Calico install.",
    )]
}

/// Calico's own move of its records from one group to the other. Deleting its object when it is done
/// deletes the old kinds with everything in them.
fn busy(situation: &Situation<'_>) -> Vec<Finding> {
    let inventory = &situation.state.inventory;
    features::calico(inventory, "DatastoreMigration")
        .map(|migration| {
            let phase = migration.text("/status/phase").unwrap_or("Pending");
            Finding::new(
                Severity::Blocker,
                Code::CalicoBusy,
                migration.id.object.to_string(),
                format!(
                    "Calico is moving its own records to other kinds (phase {phase}); a removal now could lose them in the middle, and deleting this object could delete them all."
                ),
                "Let the migration of the datastore end and remove its object as Calico's documentation says.",
            )
        })
        .collect()
}

/// Who routes Services when the eBPF datapath is gone.
fn services(situation: &Situation<'_>) -> Option<Finding> {
    let proxy = situation.state.kube_proxy.as_ref().and_then(|proxy| proxy.daemon_set.as_ref());
    if proxy.is_some() || !features::ebpf(&situation.state.inventory) {
        return None;
    }
    Some(Finding::new(
        Severity::Blocker,
        Code::KubeProxyMissing,
        "DaemonSet kube-system/kube-proxy",
        "Calico's eBPF datapath stands in for kube-proxy, and there is none that could route Services when Calico is gone.",
        "Install it (kubeadm init phase addon kube-proxy); the run lets it start when its time has come.",
    ))
}

/// Nobody's objects go for having been put beside Calico's.
fn kept_namespaces<'a>(situation: &'a Situation<'_>) -> impl Iterator<Item = Finding> + 'a {
    situation.calico.shared_namespaces.iter().map(|(namespace, other)| {
        Finding::new(
            Severity::Note,
            Code::NamespaceKept,
            format!("Namespace {namespace}"),
            format!("it holds {other}, which is not Calico's, so it stays when all that is Calico's there is removed."),
            "Move what is yours to another namespace, or delete this one yourself afterwards.",
        )
    })
}

fn export(situation: &Situation<'_>) -> Vec<Finding> {
    if situation.install().is_none_or(|i| i.datastore == Datastore::Kubernetes) {
        return Vec::new();
    }
    vec![Finding::new(
        Severity::Consent,
        Code::NoExport,
        "cluster",
        "Calico keeps its policies and pools in etcd, out of reach of the Kubernetes API: replank can't export them, so they can't be put back. Its keys under /calico stay in etcd when it is gone.",
        "Export them with `calicoctl get --export -o yaml` first, then accept no-export; afterwards `etcdctl del --prefix /calico` clears them.",
    )]
}
