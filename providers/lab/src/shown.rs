//! Machines, snapshots and errors as the protocol shows them.

use replank_lab::lab::{Lab, Snapshot as LabSnapshot};
use replank_lab::machine::{Power, Record, Role as LabRole};
use replank_lab::{LabError, Result as LabResult};
use replank_provider_protocol::{
    ErrorCode, Machine, MachineId, MachineState, ProviderError, Role, RunId, Snapshot, SnapshotId,
    SnapshotState,
};

/// The labels of a machine that are the provider's own.
pub(crate) const RUN: &str = "lab.replank.dev/run";
pub(crate) const CLUSTER: &str = "lab.replank.dev/cluster";
pub(crate) const OPERATION: &str = "lab.replank.dev/operation";

pub(crate) fn machine(lab: &Lab, record: Record) -> LabResult<Machine> {
    let state = match lab.power(&record.name)? {
        Power::On => MachineState::Running,
        Power::Off if lab.has_booted(&record.name) => MachineState::Stopped,
        Power::Off => MachineState::Pending,
    };
    let provider_id = record.provider_id();
    let mut labels = record.labels;
    let run = labels.remove(RUN).map(RunId::new);
    labels.remove(CLUSTER);
    labels.remove(OPERATION);
    Ok(Machine {
        id: MachineId::new(record.name.clone()),
        name: record.name,
        state,
        provider_id: Some(provider_id),
        // A machine without firmware tells its machine id, which has no dashes.
        system_uuid: Some(record.uuid.replace('-', "")),
        addresses: vec![record.address.into()],
        run,
        labels,
    })
}

pub(crate) fn snapshot(known: LabSnapshot) -> Snapshot {
    Snapshot {
        id: SnapshotId::new(known.id),
        machine: MachineId::new(known.machine),
        state: SnapshotState::Ready,
        run: known.run.map(RunId::new),
    }
}

pub(crate) fn role(role: Role) -> LabRole {
    match role {
        Role::Worker => LabRole::Worker,
        Role::ControlPlane => LabRole::ControlPlane,
    }
}

pub(crate) fn failure(error: LabError) -> ProviderError {
    let message = error.to_string();
    match error {
        LabError::NoMachine(_) | LabError::NoSnapshot(_) => {
            ProviderError::lasting(ErrorCode::NotFound, message)
        }
        LabError::NoLab(_) => ProviderError::passing(ErrorCode::Unavailable, message),
        LabError::Power { .. } | LabError::UserData(_) => ProviderError::lasting(ErrorCode::Invalid, message),
        LabError::Late { .. } => ProviderError::passing(ErrorCode::Internal, message),
        _ => ProviderError::lasting(ErrorCode::Internal, message),
    }
}
