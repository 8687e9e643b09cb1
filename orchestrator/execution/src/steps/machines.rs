//! Plain acts on machines: snapshot, stop, load balancer.

use super::Step;
use crate::engine::{StepContext, StepError};
use crate::guards::Guard;
use async_trait::async_trait;
use replank_planning::ids::MachineId;
use replank_planning::late::Learned;
use replank_planning::plan::action::SlotAct;
use replank_provider_protocol::verbs::{
    Deletable, DeleteParams, GetParams, HostRunParams, ListParams, MachineParams, Progress,
};
use replank_provider_protocol::{ErrorCode, Keeping, MachineState, Retry, SnapshotState};
use serde_json::{Value, json};

/// How many snapshots of one machine are tried before the run pauses.
const SNAPSHOTS: u32 = 3;

/// How many operations one step may have begun in all, those given up before a pause included.
const OPERATIONS: u32 = 100;

fn params(cx: &StepContext<'_>, effect: &str, machine: &MachineId) -> MachineParams {
    MachineParams { mutation: cx.mutation(effect), machine: machine.clone() }
}

/// See [`replank_planning::plan::Action::SnapshotMachine`].
pub struct SnapshotMachineStep(pub SlotAct);

#[async_trait]
impl Step for SnapshotMachineStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let machine = cx.slot(&self.0.slot)?.old.machine.clone();
        let provider = &cx.running.world.provider;
        let mut tried = 0;
        for attempt in 0..OPERATIONS {
            let params = params(cx, &format!("snapshot-{attempt}"), &machine);
            let ask = || async {
                match provider.snapshot(params.clone()).await {
                    Ok(Progress::Done { value }) => Ok(Progress::Done { value: Ok(value) }),
                    Ok(Progress::Pending { message }) => Ok(Progress::Pending { message }),
                    Err(error) if error.retry == Retry::MayHelp => Err(error),
                    Err(error) => Ok(Progress::Done { value: Err(error) }),
                }
            };
            match cx.provider("take a snapshot", ask).await? {
                Ok(snapshot) => {
                    let id = snapshot.id;
                    cx.learn(Learned::Snapshot { slot: self.0.slot.clone(), snapshot: id.clone() })?;
                    return Ok(json!({"snapshot": id}));
                }
                // This operation's snapshot failed and was deleted by an attempt before this one.
                Err(error) if error.code == ErrorCode::NotFound && exists(cx, &machine).await? => {}
                Err(error) => {
                    delete_failed(cx, &machine).await?;
                    tried += 1;
                    if tried == SNAPSHOTS {
                        let reason = format!("{SNAPSHOTS} snapshots of machine {machine} failed: {error}");
                        return Err(StepError::Provider(reason));
                    }
                }
            }
        }
        Err(StepError::Provider(format!("machine {machine} can't be snapshotted")))
    }

    async fn undo(
        &self,
        _cx: &StepContext<'_>,
        _before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        // Kept until `finalize`: it may be the only way back that is left.
        Ok(())
    }
}

/// Deletes this run's snapshots of a machine that failed.
async fn delete_failed(cx: &StepContext<'_>, machine: &MachineId) -> Result<(), StepError> {
    let provider = &cx.running.world.provider;
    let params = ListParams { run: Some(cx.running.run.clone()), cluster: cx.running.cluster.to_string() };
    let listing = cx.provider_at_once("list snapshots", || provider.list(params.clone())).await?;
    for failed in listing.snapshots {
        if failed.machine != *machine || failed.state != SnapshotState::Failed {
            continue;
        }
        let params = DeleteParams {
            mutation: cx.mutation(&format!("delete-failed-{}", failed.id)),
            target: Deletable::Snapshot(failed.id),
        };
        cx.provider("delete a failed snapshot", || provider.delete(params.clone())).await?;
    }
    Ok(())
}

/// See [`replank_planning::plan::Action::StopMachine`].
pub struct StopMachineStep(pub SlotAct);

#[async_trait]
impl Step for StopMachineStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let slot = cx.slot(&self.0.slot)?;
        let machine = slot.old.machine.clone();
        let provider = &cx.running.world.provider;
        if !cx.holds(Guard::KeptUntilFinalize) {
            let gone = DeleteParams {
                mutation: cx.mutation("delete-old"),
                target: Deletable::Machine(machine.clone()),
            };
            cx.provider("delete a machine", || provider.delete(gone.clone())).await?;
            return Ok(Value::Null);
        }
        disarm(cx, &machine).await;
        let params = params(cx, "stop", &machine);
        cx.provider("stop a machine", || provider.stop(params.clone())).await?;
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        _before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let slot = cx.slot(&self.0.slot)?;
        if slot.old.keeping == Keeping::Lost {
            return Err(StepError::Failed(format!(
                "machine {} could not be kept when it stopped",
                slot.old.machine
            )));
        }
        let provider = &cx.running.world.provider;
        let params = params(cx, "start", &slot.old.machine);
        cx.provider("start a machine", || provider.start(params.clone())).await?;
        let host = cx.host(slot.old.machine.clone());
        host.act("enable-kubelet", &["systemctl", "enable", "--now", "kubelet"]).await.map(drop)
    }
}

/// Keeps the old kubelet from coming back if someone powers the machine on. Only an extra: the machine stops
/// in the next moment, and a host that can't be reached is no reason to leave it running.
async fn disarm(cx: &StepContext<'_>, machine: &MachineId) {
    let provider = &cx.running.world.provider;
    let params = HostRunParams {
        mutation: Some(cx.mutation("disable-kubelet")),
        machine: machine.clone(),
        argv: ["systemctl", "disable", "kubelet"].map(str::to_owned).to_vec(),
        stdin: None,
    };
    if let Err(error) = provider.host_run(params).await {
        tracing::debug!(%error, %machine, "the old kubelet was not disabled");
    }
}

/// See [`replank_planning::plan::Action::RegisterControlPlane`].
pub struct RegisterStep(pub SlotAct);

#[async_trait]
impl Step for RegisterStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let machine = replacement(cx, &self.0)?;
        let provider = &cx.running.world.provider;
        let params = params(cx, "register", &machine);
        cx.provider("register a machine", || provider.register(params.clone())).await?;
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        _before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let Some(machine) = cx.learned_machine(&self.0.slot) else { return Ok(()) };
        if !exists(cx, &machine).await? {
            return Ok(());
        }
        let provider = &cx.running.world.provider;
        let params = params(cx, "deregister", &machine);
        cx.provider("deregister a machine", || provider.deregister(params.clone())).await
    }
}

/// See [`replank_planning::plan::Action::DeregisterControlPlane`].
pub struct DeregisterStep(pub SlotAct);

#[async_trait]
impl Step for DeregisterStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let machine = cx.slot(&self.0.slot)?.old.machine.clone();
        let provider = &cx.running.world.provider;
        let params = params(cx, "deregister", &machine);
        cx.provider("deregister a machine", || provider.deregister(params.clone())).await?;
        Ok(Value::Null)
    }

    async fn undo(
        &self,
        cx: &StepContext<'_>,
        _before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        let machine = cx.slot(&self.0.slot)?.old.machine.clone();
        let provider = &cx.running.world.provider;
        let params = params(cx, "register", &machine);
        cx.provider("register a machine", || provider.register(params.clone())).await
    }
}

fn replacement(cx: &StepContext<'_>, act: &SlotAct) -> Result<MachineId, StepError> {
    cx.learned_machine(&act.slot).ok_or_else(|| {
        StepError::changed(format!("the replacement of {}", act.slot), "its machine is not known")
    })
}

/// Whether a machine is there and not failed.
///
/// # Errors
/// When the provider can't say.
pub async fn exists(cx: &StepContext<'_>, machine: &MachineId) -> Result<bool, StepError> {
    let provider = &cx.running.world.provider;
    cx.provider_at_once("look at a machine", || async {
        match provider.get(GetParams { machine: machine.clone() }).await {
            Ok(machine) => Ok(machine.state != MachineState::Failed),
            Err(error) if error.code == ErrorCode::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    })
    .await
}
