//! Snapshots: a machine's disk as it was.

use std::collections::BTreeMap;

use super::{Caller, Datacenter};
use crate::machines::host::FileEntry;
use crate::machines::machine_api::{
    ErrorCode, MachineError, MachineState, MachineView, SnapshotState, SnapshotView,
};

pub(super) struct Snapshot {
    view: SnapshotView,
    disk: BTreeMap<String, FileEntry>,
}

impl Snapshot {
    pub(super) fn view(&self) -> SnapshotView {
        self.view.clone()
    }
}

impl Datacenter {
    /// Begins a snapshot of a machine's disk as it is now.
    ///
    /// # Errors
    /// No such machine, an older epoch, or an operation id that was used for something else.
    pub fn snapshot(
        &self,
        id: &str,
        run: Option<&str>,
        caller: Caller<'_>,
    ) -> Result<SnapshotView, MachineError> {
        let name = self.name_of(id);
        self.refused(&name)?;
        let mut state = self.state();
        state.admit(&caller, Some(id))?;
        let arguments = format!("snapshot {id} {run:?} {:?}", caller.cluster);
        if let Some(done) = state.repeated(caller.operation, &arguments)? {
            let snapshot = state.snapshots.get(&done.subject);
            return snapshot
                .map(Snapshot::view)
                .ok_or_else(|| MachineError::not_found("snapshot", &done.subject));
        }
        let record = state.machines.get(id).ok_or_else(|| MachineError::not_found("machine", id))?;
        let seed = format!("snapshot/{id}/{}/{}", caller.operation, state.snapshots.len());
        let view = SnapshotView {
            id: format!("snap-{}", &self.0.site.hex_id(&seed)[..12]),
            machine: id.to_owned(),
            state: SnapshotState::Pending,
            run: run.map(str::to_owned),
            cluster: caller.cluster.map(str::to_owned),
            created_at: self.0.site.clock.now_rfc3339(),
        };
        let disk = record.machine.host.files().contents();
        let snapshot = Snapshot { view: view.clone(), disk };
        state.snapshots.insert(view.id.clone(), snapshot);
        state.remember(caller.operation, arguments, &view.id, None);
        self.record(&mut state, &caller, "snapshot", id);
        drop(state);
        self.settle(view.id.clone(), &name);
        Ok(view)
    }

    /// One snapshot.
    ///
    /// # Errors
    /// There is none with this id.
    pub fn snapshot_of(&self, id: &str) -> Result<SnapshotView, MachineError> {
        let state = self.state();
        state.snapshots.get(id).map(Snapshot::view).ok_or_else(|| MachineError::not_found("snapshot", id))
    }

    /// Forgets a snapshot. One that is gone is fine.
    ///
    /// # Errors
    /// An older epoch, or an operation id that was used for something else.
    pub fn delete_snapshot(&self, id: &str, caller: Caller<'_>) -> Result<(), MachineError> {
        self.refused(id)?;
        let mut state = self.state();
        state.admit(&caller, None)?;
        let arguments = format!("delete-snapshot {id}");
        state.repeated(caller.operation, &arguments)?;
        if state.snapshots.remove(id).is_some() {
            self.record(&mut state, &caller, "delete-snapshot", id);
        }
        state.remember(caller.operation, arguments, id, None);
        Ok(())
    }

    /// Puts a snapshot's disk into a machine that stands still.
    ///
    /// # Errors
    /// No such machine or snapshot, a machine that runs, a snapshot of another one or not ready, an older
    /// epoch, or an operation id that was used for something else.
    pub fn restore(&self, id: &str, machine: &str, caller: Caller<'_>) -> Result<MachineView, MachineError> {
        self.refused(&self.name_of(machine))?;
        let mut state = self.state();
        state.admit(&caller, Some(machine))?;
        let arguments = format!("restore {id} {machine}");
        let repeated = state.repeated(caller.operation, &arguments)?.is_some();
        let record =
            state.machines.get(machine).ok_or_else(|| MachineError::not_found("machine", machine))?;
        if repeated {
            return Ok(self.view(record));
        }
        match record.state {
            MachineState::Stopped | MachineState::Failed => {}
            MachineState::Stopping => {
                let message = format!("machine {machine} is still stopping");
                return Err(MachineError::new(ErrorCode::Unavailable, message));
            }
            _ => {
                let message = format!("machine {machine} must be stopped before its disk is put back");
                return Err(MachineError::new(ErrorCode::Invalid, message));
            }
        }
        let snapshot = state.snapshots.get(id).ok_or_else(|| MachineError::not_found("snapshot", id))?;
        if snapshot.view.machine != machine {
            let message = format!("snapshot {id} is of machine {}, not of {machine}", snapshot.view.machine);
            return Err(MachineError::new(ErrorCode::Invalid, message));
        }
        match snapshot.view.state {
            SnapshotState::Ready => {}
            SnapshotState::Pending => {
                let message = format!("snapshot {id} is still being taken");
                return Err(MachineError::new(ErrorCode::Unavailable, message));
            }
            SnapshotState::Failed => {
                let message = format!("snapshot {id} has failed");
                return Err(MachineError::new(ErrorCode::Invalid, message));
            }
        }
        record.machine.host.files().replace_all(snapshot.disk.clone());
        let view = self.view(record);
        state.remember(caller.operation, arguments, id, None);
        self.record(&mut state, &caller, "restore", machine);
        Ok(view)
    }

    fn settle(&self, id: String, machine: &str) {
        let (datacenter, site) = (self.clone(), self.0.site.clone());
        let failed = site.strikes("snapshot-fails", machine).is_some();
        self.0.site.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = site.cancel.cancelled() => return,
                () = tokio::time::sleep(site.durations.snapshot) => {}
            }
            if let Some(snapshot) = datacenter.state().snapshots.get_mut(&id) {
                snapshot.view.state = if failed { SnapshotState::Failed } else { SnapshotState::Ready };
            }
        });
    }
}
