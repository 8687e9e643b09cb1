//! Whether there is a Calico to migrate from, whether it may be touched, and what ends with it.

use super::{Code, Finding, Severity, Situation};
use crate::cni::calico::detect::{Datastore, Detection, InstallKind};
use crate::cni::calico::{canal, features, images};
use crate::cni::flannel::manifest;
use crate::object::ObjectRef;

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    let mut found = present(situation);
    found.extend(busy(situation));
    found.extend(export(situation));
    found.extend(services(situation));
    found.extend(flannel(situation));
    found.extend(taken(situation));
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

fn flannel(situation: &Situation<'_>) -> Vec<Finding> {
    let canal = situation.install().is_some_and(|i| i.kind == InstallKind::Canal);
    let runs_flannel = |set: &&crate::object::Object| {
        set.at("/spec/template").is_some_and(|t| images::of_template(t).any(images::is_flannel))
            && !situation.calico.holds(&set.id.object)
    };
    if canal {
        return canals(situation);
    }
    situation
        .state
        .inventory
        .of("apps", "DaemonSet")
        .filter(runs_flannel)
        .map(|set| {
            Finding::new(
                Severity::Blocker,
                Code::FlannelPresent,
                set.id.object.to_string(),
                "Flannel runs here already; replank's own would fight with it over routes and port 8472.",
                "Remove it, or finish the migration that brought it.",
            )
        })
        .collect()
}

/// Two Flannels at once, which must not take each other's packets.
fn canals(situation: &Situation<'_>) -> Vec<Finding> {
    let (state, wanted) = (situation.state, &situation.intent.network);
    let Some(install) = situation.install() else { return Vec::new() };
    let Some(old) = canal::vxlan(state, install) else { return Vec::new() };
    let own = wanted.manifest.as_deref().map(manifest::read).and_then(Result::ok);
    let object = install.agents.first().map_or_else(|| "cluster".to_owned(), |a| a.id.object.to_string());
    if own.as_ref().is_some_and(|own| own.vxlan.is_some_and(|new| new.vni == old.vni && new.port == old.port))
    {
        return vec![Finding::new(
            Severity::Blocker,
            Code::FlannelPresent,
            object,
            format!(
                "Canal's Flannel and the one of your manifest both use VXLAN network {} on UDP port {}: while both exist, each would take the other's packets past the policies.",
                old.vni, old.port
            ),
            "Set another Backend.VNI in the manifest's net-conf.json.",
        )];
    }
    let apart = match (own, canal::number_apart(state, install, wanted.backend)) {
        (None, Some(number)) => format!("the new one gets VXLAN network {number}"),
        _ => "the new one does not use that network".to_owned(),
    };
    vec![Finding::new(
        Severity::Note,
        Code::FlannelPresent,
        object,
        format!(
            "Canal's Flannel uses VXLAN network {}; {apart}, so that neither takes the other's packets while both exist. Both announce themselves in the same annotations of their Nodes.",
            old.vni
        ),
        "Nothing is to be done; firewalls see the same UDP port as before.",
    )]
}

/// Objects of the user's manifest that are there already: applying them would change someone's.
fn taken(situation: &Situation<'_>) -> Vec<Finding> {
    let own = situation.intent.network.manifest.as_deref().map(manifest::read).and_then(Result::ok);
    let there = |object: &ObjectRef| {
        object.kind.kind != "Namespace" && situation.state.inventory.find(object).is_some()
    };
    let objects = own.into_iter().flat_map(|own| own.objects).map(|new| new.object).filter(there);
    objects
        .map(|object| {
            Finding::new(
                Severity::Blocker,
                Code::FlannelPresent,
                object.to_string(),
                "your Flannel manifest brings an object of this name, and there is one already that something else may live by.",
                "Rename it in the manifest, with whatever refers to it there, or remove the one in the cluster if it is nobody's.",
            )
        })
        .collect()
}
