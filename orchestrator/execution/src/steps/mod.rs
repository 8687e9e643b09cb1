//! What a plan's actions do to the world: one file per action.

pub mod admit_node;
pub mod anchor_deployment;
pub mod cordon;
pub mod create_machine;
pub mod delete_node;
pub mod detach_volumes;
pub mod drain;
pub mod etcd;
mod eviction;
pub mod export;
pub mod fence;
pub mod forget_pods;
pub mod gone;
pub mod install_objects;
pub mod kubeadm_config;
pub mod leave_etcd;
pub mod machines;
pub mod patch_objects;
pub mod record_flags;
pub mod record_pod_subnet;
pub mod remove_objects;
pub mod repair_network_condition;
pub mod set_flags;
pub mod set_kube_proxy_cidr;
pub mod snapshot_etcd;
pub mod soak;
pub mod support;
pub mod swap_cni;
pub mod verify;

use crate::engine::{StepContext, StepError};
use async_trait::async_trait;
use replank_planning::plan::Action;
use serde_json::Value;

/// One step of a plan, as it acts on the world.
#[async_trait]
pub trait Step: Send + Sync {
    /// Whether the step ends its own waiting by a deadline of the plan's.
    fn has_deadline(&self) -> bool {
        false
    }

    /// Waits for what the step needs, and refuses what waiting won't mend. Changes nothing.
    async fn check(&self, _cx: &StepContext<'_>) -> Result<(), StepError> {
        Ok(())
    }

    /// Reads what undoing will need. Changes nothing in the world; secrets go into the run's backup.
    async fn capture(&self, _cx: &StepContext<'_>) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    /// Does it. Can be repeated: what is done already is found done.
    async fn apply(&self, cx: &StepContext<'_>, before: &Value) -> Result<Value, StepError>;

    /// Takes it back. Can be repeated. `after` is absent if the act did not come to its end.
    async fn undo(
        &self,
        cx: &StepContext<'_>,
        before: &Value,
        after: Option<&Value>,
    ) -> Result<(), StepError>;
}

/// The step that carries out an action.
pub fn for_action(action: &Action) -> Box<dyn Step> {
    match action.clone() {
        Action::Export(a) => Box::new(export::ExportStep(a)),
        Action::SnapshotEtcd(a) => Box::new(snapshot_etcd::SnapshotEtcdStep(a)),
        Action::RecordControllerManagerFlags(a) => Box::new(record_flags::RecordFlagsStep(a)),
        Action::SetControllerManagerFlags(a) => Box::new(set_flags::SetFlagsStep(a)),
        Action::PatchObjects(a) => Box::new(patch_objects::PatchObjectsStep(a)),
        Action::InstallObjects(a) => Box::new(install_objects::InstallObjectsStep(a)),
        Action::AnchorDeployment(a) => Box::new(anchor_deployment::AnchorDeploymentStep(a)),
        Action::SwapCni(a) => Box::new(swap_cni::SwapCniStep(a)),
        Action::SnapshotMachine(a) => Box::new(machines::SnapshotMachineStep(a)),
        Action::KeepHostFiles(a) => Box::new(create_machine::carry::KeepHostFilesStep(a)),
        Action::CreateMachine(a) => Box::new(create_machine::CreateMachineStep(a)),
        Action::AdmitNode(a) => Box::new(admit_node::AdmitNodeStep(a)),
        Action::Fence(a) => Box::new(fence::FenceStep(a)),
        Action::Soak(a) => Box::new(soak::SoakStep(a)),
        Action::Cordon(a) => Box::new(cordon::CordonStep(a)),
        Action::Drain(a) => Box::new(drain::DrainStep(a)),
        Action::DetachVolumes(a) => Box::new(detach_volumes::DetachVolumesStep(a)),
        Action::RegisterControlPlane(a) => Box::new(machines::RegisterStep(a)),
        Action::DeregisterControlPlane(a) => Box::new(machines::DeregisterStep(a)),
        Action::LeaveEtcd(a) => Box::new(leave_etcd::LeaveEtcdStep(a)),
        Action::StopMachine(a) => Box::new(machines::StopMachineStep(a)),
        Action::DeleteNode(a) => Box::new(delete_node::DeleteNodeStep(a)),
        Action::ForgetPods(a) => Box::new(forget_pods::ForgetPodsStep(a)),
        Action::RemoveObjects(a) => Box::new(remove_objects::RemoveObjectsStep(a)),
        Action::SetKubeProxyCidr(a) => Box::new(set_kube_proxy_cidr::SetKubeProxyCidrStep(a)),
        Action::RecordPodSubnet(a) => Box::new(record_pod_subnet::RecordPodSubnetStep(a)),
        Action::RepairNetworkCondition(a) => {
            Box::new(repair_network_condition::RepairNetworkConditionStep(a))
        }
        Action::Verify(a) => Box::new(verify::VerifyStep(a)),
    }
}
