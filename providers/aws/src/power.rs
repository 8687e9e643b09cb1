//! `stop`, `start` and the end of machines.

use crate::instances::{self, id, is_over, keeping, state};
use crate::provider::{Greeted, Step};
use crate::refusal::{Meaning, Refusal};
use aws_sdk_ec2::types::{Instance, InstanceStateName};
use replank_provider_protocol::verbs::{MachineParams, Mutation, Progress};
use replank_provider_protocol::{ErrorCode, Keeping, Machine, MachineId, ProviderError};
use serde_json::json;

impl Greeted {
    /// Stops a machine and keeps it.
    ///
    /// # Errors
    /// As the protocol says for `stop`.
    pub async fn stop(&self, params: &MachineParams) -> Result<Progress<Machine>, ProviderError> {
        let _turn = self.ledger.turn(&params.mutation).await;
        let seen = self.ledger.look(&params.mutation, "stop", &json!([params.machine])).await?;
        let instance = self.instances.get(&params.machine).await?;
        let machine = id(&instance);
        if seen.is_done(machine) {
            return Ok(done(&instance));
        }
        if keeping(&instance) == Keeping::Lost {
            let message =
                format!("machine {machine} is lost when it stops: a spot or instance store machine");
            return Err(ProviderError::lasting(ErrorCode::Invalid, message));
        }
        match state(&instance) {
            Some(InstanceStateName::Stopped) => {
                self.ledger.end(&seen, machine).await?;
                Ok(done(&instance))
            }
            Some(InstanceStateName::Running) => {
                self.ledger.begin_once(&seen, machine, instance.tags()).await?;
                if let Step::Waits(message) = self.leave_group(&instance).await? {
                    return Ok(Progress::Pending { message });
                }
                let stopped = self.account.ec2.stop_instances().instance_ids(machine).send().await;
                stopped.map_err(|e| {
                    Refusal::of("ec2:StopInstances", &e).about(&format!("machine {machine} can't be stopped"))
                })?;
                Ok(pending(&instance, "is stopping"))
            }
            Some(InstanceStateName::Stopping) => Ok(pending(&instance, "is stopping")),
            _ if is_over(&instance) => Err(over(&instance)),
            _ => Ok(pending(&instance, "is not running yet, and can't be stopped before")),
        }
    }

    /// Starts a stopped machine.
    ///
    /// # Errors
    /// As the protocol says for `start`.
    pub async fn start(&self, params: &MachineParams) -> Result<Progress<Machine>, ProviderError> {
        let _turn = self.ledger.turn(&params.mutation).await;
        let seen = self.ledger.look(&params.mutation, "start", &json!([params.machine])).await?;
        let instance = self.instances.get(&params.machine).await?;
        let machine = id(&instance);
        if seen.is_done(machine) {
            return Ok(done(&instance));
        }
        match state(&instance) {
            Some(InstanceStateName::Running) => {
                if let Step::Waits(message) = self.return_to_group(&instance).await? {
                    return Ok(Progress::Pending { message });
                }
                self.ledger.end(&seen, machine).await?;
                Ok(done(&instance))
            }
            Some(InstanceStateName::Stopped) => {
                self.ledger.begin_once(&seen, machine, instance.tags()).await?;
                let started = self.account.ec2.start_instances().instance_ids(machine).send().await;
                match started.map_err(|e| Refusal::of("ec2:StartInstances", &e)) {
                    Ok(_) => Ok(pending(&instance, "is starting")),
                    // Somebody else was faster, or it is not quite stopped.
                    Err(refusal) if refusal.meaning() == Meaning::WrongState => {
                        Ok(pending(&instance, "can't be started yet"))
                    }
                    Err(refusal) => Err(refusal.about(&format!("machine {machine} can't be started"))),
                }
            }
            _ if is_over(&instance) => Err(over(&instance)),
            Some(InstanceStateName::Stopping) => Ok(pending(&instance, "is still stopping")),
            _ => Ok(pending(&instance, "is starting")),
        }
    }

    /// Takes a machine away with its disks.
    ///
    /// # Errors
    /// As the protocol says for `delete`.
    pub async fn terminate(
        &self,
        mutation: &Mutation,
        machine: &MachineId,
    ) -> Result<Progress<()>, ProviderError> {
        let _turn = self.ledger.turn(mutation).await;
        let seen = self.ledger.look(mutation, "delete", &json!(["machine", machine])).await?;
        let Some(instance) = self.instances.find(machine.as_str()).await? else {
            return Ok(Progress::Done { value: () });
        };
        match state(&instance) {
            Some(InstanceStateName::Terminated) => {
                self.release_group(&instance).await?;
                return Ok(Progress::Done { value: () });
            }
            Some(InstanceStateName::ShuttingDown) => {}
            _ => {
                self.ledger.begin_once(&seen, machine.as_str(), instance.tags()).await?;
                if let Step::Waits(message) = self.quit_group(&instance).await? {
                    return Ok(Progress::Pending { message });
                }
                let ended =
                    self.account.ec2.terminate_instances().instance_ids(machine.as_str()).send().await;
                ended.map_err(|e| {
                    let what = format!("machine {machine} can't be deleted");
                    Refusal::of("ec2:TerminateInstances", &e).about(&what)
                })?;
            }
        }
        Ok(Progress::Pending { message: format!("machine {machine} is shutting down for good") })
    }
}

fn done(instance: &Instance) -> Progress<Machine> {
    Progress::Done { value: instances::machine(instance) }
}

fn pending(instance: &Instance, what: &str) -> Progress<Machine> {
    Progress::Pending { message: format!("machine {} {what}", id(instance)) }
}

fn over(instance: &Instance) -> ProviderError {
    let told = instance.state_reason.as_ref().and_then(|r| r.message.as_deref()).unwrap_or("no reason told");
    ProviderError::lasting(ErrorCode::Invalid, format!("machine {} has ended: {told}", id(instance)))
}
