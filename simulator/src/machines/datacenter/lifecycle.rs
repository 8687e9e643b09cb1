//! Making, stopping, starting and deleting machines.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Caller, Datacenter, Record};
use crate::machines::host::{HostFiles, HostHandle, HostIdentity, base_image};
use crate::machines::machine::Machine;
use crate::machines::machine_api::{
    CreateMachine, ErrorCode, MachineError, MachineRole, MachineState, MachineView,
};

/// Faults of images, and what is not on their disks.
const LACKING: [(&str, &str); 3] = [
    ("image-lacks-bridge", "/opt/cni/bin/bridge"),
    ("image-lacks-br-netfilter", "/proc/sys/net/bridge/bridge-nf-call-iptables"),
    ("image-lacks-portmap", "/opt/cni/bin/portmap"),
];

impl Datacenter {
    /// Makes a machine and boots it. The same operation id with the same arguments (the
    /// user-data, which holds secrets, aside) gives the same machine.
    ///
    /// # Errors
    /// No room, an older epoch, a request without operation id or name, a model that there is not,
    /// or an operation id that was used for something else.
    pub fn create(&self, order: &CreateMachine, client: &str) -> Result<MachineView, MachineError> {
        if order.operation_id.is_empty() || order.name.is_empty() {
            return Err(MachineError::new(ErrorCode::Invalid, "operationId and name are needed"));
        }
        let user_data = STANDARD
            .decode(&order.user_data)
            .map_err(|error| MachineError::new(ErrorCode::Invalid, format!("userData: {error}")))?;
        let caller = Caller {
            operation: &order.operation_id,
            epoch: order.epoch,
            cluster: order.cluster.as_deref(),
            client,
        };
        self.refused(&order.name)?;
        let arguments = format!(
            "create {} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            order.name,
            order.run,
            order.cluster,
            order.image,
            order.like,
            order.again,
            order.labels,
            order.role
        );
        let mut state = self.state();
        state.admit(&caller, None)?;
        if let Some(done) = state.repeated(&order.operation_id, &arguments)? {
            let record = state.machines.get(&done.subject);
            return record
                .map(|record| self.view(record))
                .ok_or_else(|| MachineError::not_found("machine", &done.subject));
        }
        if let Some(like) = order.like.as_ref().filter(|like| !state.machines.contains_key(*like)) {
            return Err(MachineError::not_found("machine", like));
        }
        if self.0.site.strikes("machine-create-fails", &order.name).is_some() {
            return Err(MachineError::new(
                ErrorCode::Exhausted,
                "no capacity is left for this kind of machine",
            ));
        }
        let site = &self.0.site;
        let id = format!("i-{}", &site.hex_id(&format!("machine/{}", order.operation_id))[..12]);
        if let Some(taken) = order.again.as_ref().and_then(|old| {
            let firmware = self.0.site.uuid(&format!("system-uuid/{old}"));
            let of_it = |r: &&Record| r.machine.host.identity().system_uuid == firmware;
            state.machines.iter().find(|(id, r)| *id != old && of_it(r)).map(|(id, _)| id.clone())
        }) {
            return Err(MachineError::new(
                ErrorCode::AlreadyExists,
                format!("it is machine {taken} by now, of another operation"),
            ));
        }
        // One that was wiped by an earlier try is gone as what it was; its firmware is the same.
        let wiped = order.again.as_ref().and_then(|old| state.machines.remove(old));
        let hardware = order.again.as_ref().unwrap_or(&id);
        let identity = HostIdentity {
            hostname: order.name.clone(),
            addresses: match &wiped {
                Some(record) => record.machine.host.identity().addresses.clone(),
                None => self.addresses(state.made),
            },
            machine_id: site.hex_id(&format!("machine-id/{id}"))[..32].to_owned(),
            system_uuid: site.uuid(&format!("system-uuid/{hardware}")),
        };
        if let (Some(record), Some(old)) = (&wiped, &order.again) {
            record.machine.power_off();
            self.record(&mut state, &caller, "delete", old);
        }
        state.made += 1;
        let files = HostFiles::new();
        base_image(&files, &identity, order.image.as_deref());
        for (fault, path) in LACKING {
            if site.strikes(fault, &order.name).is_some() {
                files.remove(path);
            }
        }
        let host = HostHandle::new(identity, files);
        let machine = Arc::new(Machine::new(id.clone(), order.name.clone(), host, site.clone()));
        let record = Record {
            machine: machine.clone(),
            state: MachineState::Pending,
            labels: order.labels.clone(),
            run: order.run.clone(),
            cluster: order.cluster.clone(),
            role: order.role,
            created_at: site.clock.now_rfc3339(),
        };
        let view = self.view(&record);
        state.machines.insert(id.clone(), record);
        state.remember(&order.operation_id, arguments, &id, None);
        self.record(&mut state, &caller, "create", &id);
        drop(state);
        self.boot(machine, Some(user_data));
        Ok(view)
    }

    /// Begins to stop a machine; its disk stays.
    ///
    /// # Errors
    /// No such machine, an older epoch, or an operation id that was used for something else.
    pub fn stop(&self, id: &str, caller: Caller<'_>) -> Result<MachineView, MachineError> {
        self.refused(&self.name_of(id))?;
        let mut state = self.state();
        state.admit(&caller, Some(id))?;
        let arguments = format!("stop {id}");
        let repeated = state.repeated(caller.operation, &arguments)?.is_some();
        let record = state.machines.get_mut(id).ok_or_else(|| MachineError::not_found("machine", id))?;
        let running = matches!(record.state, MachineState::Running | MachineState::Pending);
        if running && !repeated {
            record.state = MachineState::Stopping;
            self.halt(record.machine.clone());
            self.record(&mut state, &caller, "stop", id);
        }
        state.remember(caller.operation, arguments, id, None);
        Ok(self.view(&state.machines[id]))
    }

    /// Boots a machine that stands still.
    ///
    /// # Errors
    /// No such machine, one that can't run, an older epoch, or an operation id that was used for
    /// something else.
    pub fn start(&self, id: &str, caller: Caller<'_>) -> Result<MachineView, MachineError> {
        self.refused(&self.name_of(id))?;
        let mut state = self.state();
        state.admit(&caller, Some(id))?;
        let arguments = format!("start {id}");
        let repeated = state.repeated(caller.operation, &arguments)?.is_some();
        let record = state.machines.get_mut(id).ok_or_else(|| MachineError::not_found("machine", id))?;
        match record.state {
            MachineState::Stopped if !repeated => {
                record.state = MachineState::Pending;
                let machine = record.machine.clone();
                self.record(&mut state, &caller, "start", id);
                self.boot(machine, None);
            }
            MachineState::Stopping if !repeated => {
                return Err(MachineError::new(
                    ErrorCode::Unavailable,
                    format!("machine {id} is still stopping"),
                ));
            }
            MachineState::Failed => {
                return Err(MachineError::new(ErrorCode::Invalid, format!("machine {id} has failed")));
            }
            _ => {}
        }
        state.remember(caller.operation, arguments, id, None);
        Ok(self.view(&state.machines[id]))
    }

    /// Destroys a machine and its disk. A machine that is gone is fine.
    ///
    /// # Errors
    /// An older epoch, or an operation id that was used for something else.
    pub fn delete(&self, id: &str, caller: Caller<'_>) -> Result<(), MachineError> {
        self.refused(&self.name_of(id))?;
        let mut state = self.state();
        state.admit(&caller, Some(id))?;
        let arguments = format!("delete {id}");
        state.repeated(caller.operation, &arguments)?;
        if let Some(record) = state.machines.remove(id) {
            record.machine.power_off();
            self.record(&mut state, &caller, "delete", id);
        }
        state.remember(caller.operation, arguments, id, None);
        Ok(())
    }

    /// Takes a control plane out of the load balancer, or puts it in.
    ///
    /// # Errors
    /// No such machine, an older epoch, or an operation id that was used for something else.
    pub fn set_registered(
        &self,
        id: &str,
        registered: bool,
        caller: Caller<'_>,
    ) -> Result<MachineView, MachineError> {
        let effect = if registered { "register" } else { "deregister" };
        self.refused(&self.name_of(id))?;
        let mut state = self.state();
        state.admit(&caller, Some(id))?;
        let arguments = format!("{effect} {id}");
        let repeated = state.repeated(caller.operation, &arguments)?.is_some();
        let record = state.machines.get(id).ok_or_else(|| MachineError::not_found("machine", id))?;
        let control_plane = record.role == MachineRole::ControlPlane;
        if control_plane && !repeated && self.etcd().is_registered(id) != registered {
            self.etcd().set_registered(id, registered);
            self.record(&mut state, &caller, effect, id);
        }
        state.remember(caller.operation, arguments, id, None);
        Ok(self.view(&state.machines[id]))
    }

    /// A machine dies, as hardware does: no one asked for it, and it can't be started again.
    ///
    /// # Errors
    /// No such machine.
    pub fn kill(&self, id: &str) -> Result<(), MachineError> {
        let mut state = self.state();
        let record = state.machines.get_mut(id).ok_or_else(|| MachineError::not_found("machine", id))?;
        record.state = MachineState::Failed;
        record.machine.power_off();
        Ok(())
    }

    /// Mends a machine that died; it boots again.
    ///
    /// # Errors
    /// No such machine.
    pub fn revive(&self, id: &str) -> Result<(), MachineError> {
        let mut state = self.state();
        let record = state.machines.get_mut(id).ok_or_else(|| MachineError::not_found("machine", id))?;
        if record.state == MachineState::Failed {
            record.state = MachineState::Pending;
            self.boot(record.machine.clone(), None);
        }
        Ok(())
    }

    /// Lets time pass until the machine's processes run, then starts them.
    fn boot(&self, machine: Arc<Machine>, user_data: Option<Vec<u8>>) {
        let (datacenter, site) = (self.clone(), self.0.site.clone());
        let late = site.strikes("machine-never-boots", &machine.name);
        let fails = site.strikes("machine-boot-fails", &machine.name).is_some();
        let cancel = site.cancel.clone();
        self.0.site.tasks.spawn(async move {
            let mut delay = site.durations.boot;
            if let Some(fault) = late {
                let Some(extra) = fault.delay else { return };
                delay += extra;
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(delay) => {}
            }
            if !datacenter.booted(&machine, fails) {
                return;
            }
            let Some(user_data) = user_data else { return };
            let power = machine.power();
            tokio::select! {
                biased;
                () = power.cancelled() => {}
                () = machine.clone().first_boot(user_data) => {}
            }
        });
    }

    fn booted(&self, machine: &Arc<Machine>, fails: bool) -> bool {
        let mut state = self.state();
        // Stopped or deleted while it booted: it stays off.
        let Some(record) = state.machines.get_mut(&machine.id) else { return false };
        if record.state != MachineState::Pending {
            return false;
        }
        if fails {
            record.state = MachineState::Failed;
            machine.print("no bootable device");
            return false;
        }
        record.state = MachineState::Running;
        machine.power_on();
        true
    }

    fn halt(&self, machine: Arc<Machine>) {
        let (datacenter, site) = (self.clone(), self.0.site.clone());
        self.0.site.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = site.cancel.cancelled() => return,
                () = tokio::time::sleep(site.durations.machine_stop) => {}
            }
            machine.power_off();
            let mut state = datacenter.state();
            if let Some(record) = state.machines.get_mut(&machine.id)
                && record.state == MachineState::Stopping
            {
                record.state = MachineState::Stopped;
            }
        });
    }
}
