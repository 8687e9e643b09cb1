//! The order in which Calico is removed: what clears a finalizer outlives what carries it.

use super::detect::{Api, Install, InstallKind};
use super::images::Part;
use super::objects::Belongings;
use crate::object::{Kind, ObjectId};
use crate::plan::action::{RemovalStage, RemoveObjects};
use std::collections::BTreeSet;

/// The steps that remove an install, each by the name of its step.
pub fn steps(install: &Install, found: &Belongings) -> Vec<(&'static str, RemoveObjects)> {
    let mut steps = Vec::new();
    if install.kind == InstallKind::Operator {
        steps.push((
            "remove-calico/operator",
            step("let the operator take its Calico down, while it still runs", operated(found)),
        ));
    }
    steps.push(("remove-calico/agents", step("remove Calico's APIs and agents", agents(install, found))));
    steps.push((
        "remove-calico/records",
        step("remove Calico's records, then the kinds themselves", records(found)),
    ));
    steps.push((
        "remove-calico/rest",
        step("remove Calico's configuration, accounts and namespaces", rest(found)),
    ));
    steps
        .into_iter()
        .map(|(name, mut step)| {
            step.stages.retain(|s| !is_empty(s));
            (name, step)
        })
        .filter(|(_, step)| !step.stages.is_empty())
        .collect()
}

fn step(purpose: &str, stages: Vec<RemovalStage>) -> RemoveObjects {
    RemoveObjects { purpose: purpose.to_owned(), stages }
}

fn is_empty(stage: &RemovalStage) -> bool {
    stage.objects.is_empty() && stage.kinds.is_empty() && stage.references.is_empty()
}

fn singles(objects: impl IntoIterator<Item = ObjectId>) -> RemovalStage {
    RemovalStage {
        objects: objects.into_iter().collect(),
        kinds: Vec::new(),
        references: Vec::new(),
        orphaned_finalizers: BTreeSet::new(),
    }
}

fn kinds<'a>(found: &'a Belongings, group: &'a str, names: &'a [&'a str]) -> RemovalStage {
    let wanted = |kind: &&Kind| kind.group == group && names.contains(&kind.kind.as_str());
    RemovalStage { kinds: found.kinds.iter().filter(wanted).cloned().collect(), ..singles([]) }
}

/// The operator's own resources, in the order that its own uninstaller uses: what depends on an
/// Installation before it, and all of it before the operator.
fn operated(found: &Belongings) -> Vec<RemovalStage> {
    const GROUP: &str = "operator.tigera.io";
    vec![
        kinds(
            found,
            GROUP,
            &["Whisker", "Goldmane", "GatewayAPI", "Istio", "ManagementClusterConnection", "APIServer"],
        ),
        kinds(found, GROUP, &["Installation"]),
        singles(found.running(Part::Operator).cloned()),
        RemovalStage {
            kinds: found.kinds.iter().filter(|k| k.group == GROUP).cloned().collect(),
            ..singles([])
        },
    ]
}

fn agents(install: &Install, found: &Belongings) -> Vec<RemovalStage> {
    let last = |part: Part| part == Part::KubeControllers;
    let first = found.workloads.iter().filter(|(part, _)| !last(*part)).map(|(_, id)| id.clone());
    let mut stages = vec![
        singles(found.admission.iter().cloned()),
        // A dead aggregated API hangs every namespace's deletion: it goes before its backend.
        singles(found.api_services.iter().cloned()),
        singles(first),
    ];
    // The operator has taken its kube-controllers down by now: `records` takes the finalizers off.
    if install.api == Api::V3 && install.kind != InstallKind::Operator {
        stages.extend(guarded(found));
    }
    stages.push(singles(found.running(Part::KubeControllers).cloned()));
    stages
}

/// Pools and tiers, whose finalizers kube-controllers clears while it runs: a pool's when no block of
/// it is left, a tier's when no policy is in it. With the agents gone nobody makes new ones.
fn guarded(found: &Belongings) -> [RemovalStage; 3] {
    const GROUP: &str = "projectcalico.org";
    const POLICIES: [&str; 5] = [
        "GlobalNetworkPolicy",
        "NetworkPolicy",
        "StagedGlobalNetworkPolicy",
        "StagedKubernetesNetworkPolicy",
        "StagedNetworkPolicy",
    ];
    [
        kinds(found, GROUP, &POLICIES),
        kinds(found, GROUP, &["BlockAffinity", "IPAMBlock", "IPAMHandle"]),
        kinds(found, GROUP, &["IPPool", "Tier"]),
    ]
}

fn records(found: &Belongings) -> Vec<RemovalStage> {
    vec![
        RemovalStage {
            kinds: found.kinds.iter().cloned().collect(),
            // Nobody is left who would clear them.
            orphaned_finalizers: ["projectcalico.org/ippool-finalizer", "projectcalico.org/tier-controller"]
                .map(str::to_owned)
                .into(),
            ..singles([])
        },
        singles(found.definitions.iter().cloned()),
    ]
}

fn rest(found: &Belongings) -> Vec<RemovalStage> {
    let protected: BTreeSet<String> = ["tigera.io/cni-protector".to_owned()].into();
    vec![
        singles(found.services.iter().cloned()),
        singles(found.configuration.iter().cloned()),
        RemovalStage {
            orphaned_finalizers: protected,
            references: found.access.iter().map(|id| id.object.clone()).collect(),
            ..singles([])
        },
        RemovalStage { references: found.other.iter().map(|id| id.object.clone()).collect(), ..singles([]) },
        singles(found.namespaces.iter().cloned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::calico::detect::{Datastore, Encapsulation};

    fn stages(kind: InstallKind) -> Vec<(&'static str, RemoveObjects)> {
        let (datastore, encapsulation, api) = (Datastore::Kubernetes, Encapsulation::Vxlan, Api::V3);
        let version = "v3.32.0".to_owned();
        let install = Install { kind, version, datastore, encapsulation, api, agents: Vec::new() };
        let pools = Kind::cluster("projectcalico.org", "v3", "IPPool", "ippools");
        steps(&install, &Belongings { kinds: [pools].into(), ..Belongings::default() })
    }

    #[test]
    fn pools_wait_for_kube_controllers_only_while_it_runs() {
        let names = |kind| stages(kind).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(InstallKind::Manifest), ["remove-calico/agents", "remove-calico/records"]);
        assert_eq!(names(InstallKind::Operator), ["remove-calico/records"]);
        let (_, records) = stages(InstallKind::Operator).remove(0);
        assert!(records.stages[0].orphaned_finalizers.contains("projectcalico.org/ippool-finalizer"));
    }
}
