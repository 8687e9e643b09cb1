//! What each step needs, forwards and back.

use super::{Resource, Rights, Verb, Which};
use crate::cni::calico::is_calico_group;
use crate::intent::AtDeadline;
use crate::object::{Kind, ObjectId, ObjectRef};
use crate::plan::PlannedStep;
use crate::plan::action::{Action, InstallObjects, RemovalStage, RemoveObjects, Undo};
use serde_json::Value;

use Verb::{Create, Delete, Get, List, Patch, Watch};

const FOLLOW: [Verb; 2] = [List, Watch];

/// Adds the rights of one step.
pub(super) fn add(rights: &mut Rights, step: &PlannedStep) {
    let nodes = Resource::everywhere("", "nodes");
    let pods = Resource::everywhere("", "pods");
    match &step.action {
        Action::Export(export) => {
            for kind in &export.kinds {
                rights.any(&listed(kind), &[List]);
            }
            for object in &export.objects {
                rights.object(object, &[Get]);
            }
        }
        Action::RecordControllerManagerFlags(_) | Action::RecordPodSubnet(_) => {
            let maps = Resource::in_namespace("", "configmaps", "kube-system");
            rights.on(&maps, &Which::Named("kubeadm-config".into()), &[Get, Patch]);
        }
        Action::SetControllerManagerFlags(_) => {
            rights.any(&Resource::in_namespace("", "pods", "kube-system"), &FOLLOW);
        }
        Action::PatchObjects(act) => {
            for patch in &act.patches {
                edited(rights, &patch.target);
            }
            for object in &act.wait_for {
                rolled(rights, object);
            }
        }
        Action::InstallObjects(act) => installed(rights, act),
        Action::AnchorDeployment(act) => {
            edited(rights, &act.deployment);
            rolled(rights, &act.deployment.object);
            let namespace = &act.deployment.object.namespace;
            rights.any(&Resource::in_namespace("", "pods", namespace), &FOLLOW);
            rights.any(&Resource::in_namespace("", "pods/eviction", namespace), &[Create]);
            rights.any(&nodes, &[List, Watch]);
        }
        Action::CreateMachine(_) => {
            rights.any(&nodes, &[Get, List, Watch, Delete]);
            let secrets = Resource::in_namespace("", "secrets", "kube-system");
            // Tokens have random names.
            rights.any(&secrets, &[Get, Create, Patch, Delete]);
            let public = Resource::in_namespace("", "configmaps", "kube-public");
            rights.on(&public, &Which::Named("cluster-info".into()), &[Get]);
            let system = Resource::in_namespace("", "configmaps", "kube-system");
            rights.on(&system, &Which::Named("kubelet-config".into()), &[Get]);
        }
        Action::AdmitNode(act) => {
            rights.any(&nodes, &[Get, List, Watch, Patch, Delete]);
            rights.any(&pods, &FOLLOW);
            rights.any(&Resource::everywhere("storage.k8s.io", "csinodes"), &FOLLOW);
            rights.any(&Resource::everywhere("certificates.k8s.io", "certificatesigningrequests"), &FOLLOW);
            for object in &act.daemon_sets {
                rights.object(object, &[Get]);
            }
        }
        Action::Fence(_) => {
            rights.any(&nodes, &[Get, Patch]);
            rights.any(&pods, &FOLLOW);
        }
        Action::Soak(_) => rights.any(&nodes, &FOLLOW),
        Action::Cordon(_) => rights.any(&nodes, &[Get, Patch]),
        Action::Drain(act) => {
            rights.any(&pods, &FOLLOW);
            rights.any(&Resource::everywhere("", "pods/eviction"), &[Create]);
            rights.any(&Resource::everywhere("policy", "poddisruptionbudgets"), &FOLLOW);
            if act.rules.at_deadline == AtDeadline::Delete {
                rights.any(&pods, &[Delete]);
            }
        }
        Action::DetachVolumes(_) => {
            rights.any(&Resource::everywhere("storage.k8s.io", "volumeattachments"), &FOLLOW);
            rights.any(&pods, &[List]);
            rights.any(&Resource::everywhere("", "persistentvolumeclaims"), &[Get]);
        }
        Action::DeleteNode(_) => rights.any(&nodes, &[Get, List, Watch, Create, Patch, Delete]),
        Action::ForgetPods(_) => {
            rights.any(&nodes, &[Get]);
            rights.any(&pods, &[List, Watch, Delete]);
        }
        Action::RemoveObjects(act) => removed(rights, act, &step.undo),
        Action::SetKubeProxyCidr(act) => {
            edited(rights, &act.config);
            if let Some(daemon_set) = &act.daemon_set {
                edited(rights, daemon_set);
                rolled(rights, &daemon_set.object);
            }
        }
        Action::RepairNetworkCondition(_) => {
            rights.any(&nodes, &[Get]);
            rights.any(&Resource::everywhere("", "nodes/status"), &[Patch]);
        }
        Action::Verify(act) => {
            rights.any(&nodes, &[List]);
            rights.any(&pods, &[List]);
            for kind in &act.removed_kinds {
                rights.any(&listed(kind), &[List]);
            }
            for object in &act.removed_objects {
                rights.object(object, &[Get]);
            }
        }
        // These ask the provider and hosts only.
        Action::SnapshotEtcd(_)
        | Action::SwapCni(_)
        | Action::SnapshotMachine(_)
        | Action::KeepHostFiles(_)
        | Action::RegisterControlPlane(_)
        | Action::DeregisterControlPlane(_)
        | Action::LeaveEtcd(_)
        | Action::StopMachine(_) => {}
    }
}

/// All kinds of Calico's groups are listed for the observation already.
fn listed(kind: &Kind) -> Resource {
    match is_calico_group(&kind.group) {
        true => Resource::everywhere(&kind.group, "*"),
        false => Resource::of_kind(kind),
    }
}

/// Nodes come and go during a run: a right to one of them is none to its successor.
fn edited(rights: &mut Rights, id: &ObjectId) {
    if id.object.kind.kind == "Node" && id.object.kind.group.is_empty() {
        rights.any(&Resource::everywhere("", "nodes"), &[Get, Patch]);
    } else {
        rights.object(&id.object, &[Get, Patch]);
    }
}

fn rolled(rights: &mut Rights, object: &ObjectRef) {
    rights.object(object, &[Get]);
    rights.any(&Resource::of_object(object), &FOLLOW);
}

/// Whoever creates a role must hold what it grants.
fn installed(rights: &mut Rights, act: &InstallObjects) {
    for new in &act.objects {
        rights.object(&new.object, &[Get, Patch, Delete]);
        rights.any(&Resource::of_object(&new.object), &[Create]);
        rights.any(&Resource::of_object(&new.object), &FOLLOW);
        if matches!(new.object.kind.kind.as_str(), "ClusterRole" | "Role") {
            granted(rights, &new.object, &new.body);
        }
    }
}

fn granted(rights: &mut Rights, role: &ObjectRef, body: &Value) {
    let texts = |rule: &Value, key: &str| -> Vec<String> {
        let list = rule[key].as_array().into_iter().flatten();
        list.filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    for rule in body["rules"].as_array().into_iter().flatten() {
        let verbs: Vec<Verb> = texts(rule, "verbs").iter().filter_map(|v| verb(v)).collect();
        let names = texts(rule, "resourceNames");
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                let resource = match role.namespace.as_str() {
                    "" => Resource::everywhere(&group, &resource),
                    namespace => Resource::in_namespace(&group, &resource, namespace),
                };
                if names.is_empty() {
                    rights.any(&resource, &verbs);
                }
                for name in &names {
                    rights.on(&resource, &Which::Named(name.clone()), &verbs);
                }
            }
        }
    }
}

fn verb(name: &str) -> Option<Verb> {
    let all = [Get, List, Watch, Create, Verb::Update, Patch, Delete];
    all.into_iter().find(|verb| verb.as_str() == name)
}

fn removed(rights: &mut Rights, act: &RemoveObjects, undo: &Undo) {
    for stage in &act.stages {
        let objects = stage.objects.iter().map(|id| &id.object).chain(&stage.references);
        for object in objects {
            rights.object(object, &[Get, Delete]);
            rights.any(&Resource::of_object(object), &FOLLOW);
            if !stage.orphaned_finalizers.is_empty() {
                rights.object(object, &[Patch]);
            }
            if *undo == Undo::Restore {
                rights.any(&Resource::of_object(object), &[Create]);
            }
        }
        for kind in &stage.kinds {
            whole_kind(rights, kind, stage, undo);
        }
    }
}

fn whole_kind(rights: &mut Rights, kind: &Kind, stage: &RemovalStage, undo: &Undo) {
    rights.any(&listed(kind), &[List]);
    rights.any(&Resource::of_kind(kind), &[Watch, Delete]);
    if !stage.orphaned_finalizers.is_empty() {
        rights.any(&Resource::of_kind(kind), &[Get, Patch]);
    }
    if *undo == Undo::Restore {
        rights.any(&Resource::of_kind(kind), &[Create]);
    }
}
