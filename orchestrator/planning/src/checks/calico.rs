//! Whether there is a Calico to migrate from, whether it may be touched, and what ends with it.

use super::{Code, Finding, Severity, Situation};
use crate::cni::calico::detect::{Datastore, Detection, InstallKind};
use crate::cni::calico::{features, images};

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    let mut found = present(situation);
    found.extend(busy(situation));
    found.extend(export(situation));
    found.extend(flannel(situation));
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

fn busy(situation: &Situation<'_>) -> Vec<Finding> {
    let inventory = &situation.state.inventory;
    features::calico(inventory, "DatastoreMigration")
        .map(|migration| {
            Finding::new(
                Severity::Blocker,
                Code::CalicoBusy,
                migration.id.object.to_string(),
                "Calico is moving its own records to other kinds; deleting this object now could delete them all.",
                "Let the migration of the datastore end and remove its object as Calico's documentation says.",
            )
        })
        .collect()
}

fn export(situation: &Situation<'_>) -> Vec<Finding> {
    if situation.install().is_none_or(|i| i.datastore == Datastore::Kubernetes) {
        return Vec::new();
    }
    vec![Finding::new(
        Severity::Consent,
        Code::NoExport,
        "cluster",
        "Calico keeps its policies and pools in etcd, out of reach of the Kubernetes API: replank can't export them, so they can't be put back.",
        "Export them with `calicoctl get --export -o yaml` first, then accept no-export.",
    )]
}

fn flannel(situation: &Situation<'_>) -> Vec<Finding> {
    let canal = situation.install().is_some_and(|i| i.kind == InstallKind::Canal);
    let runs_flannel = |set: &&crate::object::Object| {
        set.at("/spec/template").is_some_and(|t| images::of_template(t).any(images::is_flannel))
            && !situation.calico.holds(&set.id.object)
    };
    if canal {
        return Vec::new();
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
