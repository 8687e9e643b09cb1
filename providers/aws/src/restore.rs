//! `restore`: a stopped machine gets disks made from a snapshot in the place of its own. Every call goes one step
//! further from what is there; nothing is kept in memory.

use crate::instances::{self, filter, id, state, zone};
use crate::provider::{Greeted, Step};
use crate::refusal::{Meaning, Refusal};
use crate::snapshots::Set;
use crate::tags::{self, DEVICE, DISPLACED, MACHINE, POD_VOLUME, RESTORED, on, tag};
use aws_sdk_ec2::types::{
    EbsInstanceBlockDeviceSpecification, Instance, InstanceBlockDeviceMapping,
    InstanceBlockDeviceMappingSpecification, InstanceStateName, ResourceType, Volume, VolumeState,
    VolumeType,
};
use replank_provider_protocol::verbs::{Progress, RestoreParams};
use replank_provider_protocol::{ErrorCode, Machine, ProviderError, SnapshotState};
use serde_json::json;
use std::collections::BTreeMap;

impl Greeted {
    /// Brings a stopped machine back to a snapshot.
    ///
    /// # Errors
    /// As the protocol says for `restore`.
    pub async fn restore(&self, params: &RestoreParams) -> Result<Progress<Machine>, ProviderError> {
        let RestoreParams { mutation, machine, snapshot } = params;
        let invalid = |message: String| ProviderError::lasting(ErrorCode::Invalid, message);
        let _turn = self.ledger.turn(mutation).await;
        let seen = self.ledger.look(mutation, "restore", &json!([machine, snapshot])).await?;
        let instance = self.instances.get(machine).await?;
        if seen.is_done(id(&instance)) {
            return Ok(Progress::Done { value: instances::machine(&instance) });
        }
        let Some(set) = self.set(snapshot).await? else {
            let message = format!("there is no snapshot {snapshot}");
            return Err(ProviderError::lasting(ErrorCode::NotFound, message));
        };
        if set.machine != *machine {
            return Err(invalid(format!(
                "snapshot {snapshot} is of machine {}, not of {machine}",
                set.machine
            )));
        }
        match set.state() {
            SnapshotState::Ready => {}
            SnapshotState::Failed => return Err(invalid(format!("snapshot {snapshot} has failed"))),
            SnapshotState::Pending => {
                return Ok(Progress::Pending {
                    message: format!("snapshot {snapshot} is still being taken"),
                });
            }
        }
        match state(&instance) {
            Some(InstanceStateName::Stopped) => {}
            Some(InstanceStateName::Stopping) => {
                return Ok(Progress::Pending { message: format!("machine {machine} is still stopping") });
            }
            _ => {
                return Err(invalid(format!(
                    "machine {machine} is not stopped, and can't be restored before"
                )));
            }
        }
        self.ledger.begin_once(&seen, id(&instance), instance.tags()).await?;
        if let Step::Waits(message) = self.restore_disks(params, &instance, &set).await? {
            return Ok(Progress::Pending { message });
        }
        self.ledger.end(&seen, id(&instance)).await?;
        Ok(Progress::Done { value: instances::machine(&instance) })
    }

    async fn restore_disks(
        &self,
        params: &RestoreParams,
        instance: &Instance,
        set: &Set,
    ) -> Result<Step, ProviderError> {
        let mark = tags::key(&params.mutation);
        let made = self.volumes(Some(vec![filter(&format!("tag:{RESTORED}"), &mark)]), None).await?;
        // Of two snapshots of one device the older one is the one that was asked for; they are in order of time.
        let mut devices: BTreeMap<&str, &str> = BTreeMap::new();
        // The volumes of pods stay: the cluster knows them by their ids, and they outlive the machine.
        for part in set.parts.iter().filter(|part| tags::value(part.tags(), POD_VOLUME).is_none()) {
            if let (Some(device), Some(snapshot)) = (tags::value(part.tags(), DEVICE), &part.snapshot_id) {
                devices.entry(device).or_insert(snapshot);
            }
        }
        for (device, snapshot) in devices {
            let new = made.iter().find(|volume| tags::value(volume.tags(), DEVICE) == Some(device));
            let old =
                instance.block_device_mappings().iter().find(|m| m.device_name.as_deref() == Some(device));
            let step = match new {
                None => self.make_disk(params, instance, device, snapshot, old).await?,
                Some(new) => self.exchange(params, instance, device, new, old).await?,
            };
            if let Step::Waits(message) = step {
                return Ok(Step::Waits(message));
            }
        }
        let displaced = self.volumes(Some(vec![filter(&format!("tag:{DISPLACED}"), &mark)]), None).await?;
        for volume in displaced.iter().filter_map(|volume| volume.volume_id.as_deref()) {
            if let Progress::Pending { message } = self.delete_volume(&params.mutation, volume).await? {
                return Ok(Step::Waits(message));
            }
        }
        Ok(Step::Done)
    }

    /// Asks for the new disk: of the same kind as the one that it takes the place of.
    async fn make_disk(
        &self,
        params: &RestoreParams,
        instance: &Instance,
        device: &str,
        snapshot: &str,
        old: Option<&InstanceBlockDeviceMapping>,
    ) -> Result<Step, ProviderError> {
        let RestoreParams { mutation, machine, .. } = params;
        let what = format!("a disk for {device} of machine {machine} can't be made from {snapshot}");
        let old = old.and_then(|old| old.ebs.as_ref()?.volume_id.clone());
        let old = match old {
            Some(old) => self.volumes(None, Some(vec![old])).await?.into_iter().next(),
            None => None,
        };
        let kind = old.as_ref().and_then(|old| old.volume_type.clone());
        let takes_iops = matches!(kind, Some(VolumeType::Gp3 | VolumeType::Io1 | VolumeType::Io2));
        let takes_throughput = kind == Some(VolumeType::Gp3);
        let mut marks = tags::owner(mutation, &instances::machine(instance).name);
        marks.extend([
            tag(RESTORED, tags::key(mutation)),
            tag(DEVICE, device),
            tag(MACHINE, machine.as_str()),
        ]);
        let made = self
            .account
            .ec2
            .create_volume()
            .client_token(tags::short(&format!("{}\n{device}", tags::key(mutation))))
            .set_availability_zone(zone(instance).map(str::to_owned))
            .snapshot_id(snapshot)
            .set_iops(old.as_ref().and_then(|old| old.iops).filter(|_| takes_iops))
            .set_throughput(old.as_ref().and_then(|old| old.throughput).filter(|_| takes_throughput))
            .set_volume_type(kind)
            .tag_specifications(on(ResourceType::Volume, marks))
            .send()
            .await;
        let made = made.map_err(|e| Refusal::of("ec2:CreateVolume", &e).about(&what))?;
        let volume = made.volume_id.unwrap_or_default();
        Ok(Step::Waits(format!("disk {volume} for {device} of {machine} is being made from {snapshot}")))
    }

    /// Puts the new disk in the place of the old one, as far as it can go now.
    async fn exchange(
        &self,
        params: &RestoreParams,
        instance: &Instance,
        device: &str,
        new: &Volume,
        old: Option<&InstanceBlockDeviceMapping>,
    ) -> Result<Step, ProviderError> {
        let machine = id(instance);
        let new_id = new.volume_id.as_deref().unwrap_or_default();
        let on_device = old.and_then(|old| old.ebs.as_ref());
        let what = format!("disk {new_id} can't be put on {device} of machine {machine}");
        match (&new.state, on_device) {
            (_, Some(ebs)) if ebs.volume_id.as_deref() == Some(new_id) => {
                if ebs.delete_on_termination == Some(true) {
                    return Ok(Step::Done);
                }
                self.goes_with_machine(machine, device).await?;
                Ok(Step::Waits(format!("disk {new_id} is on {device} of {machine}")))
            }
            (Some(VolumeState::Available), Some(ebs)) => {
                let old = ebs.volume_id.as_deref().unwrap_or_default();
                // Marked before it is taken off: a disk without a machine is found by its tags alone.
                let mut marks = tags::owner(&params.mutation, &instances::machine(instance).name);
                marks.extend([tag(DISPLACED, tags::key(&params.mutation)), tag(MACHINE, machine)]);
                let marked = self.account.ec2.create_tags().resources(old).set_tags(Some(marks)).send().await;
                marked.map_err(|e| Refusal::of("ec2:CreateTags", &e).about(&what))?;
                let off = self.account.ec2.detach_volume().volume_id(old).instance_id(machine).send().await;
                self.unless_on_its_way(
                    off.map(drop).map_err(|e| Refusal::of("ec2:DetachVolume", &e)),
                    &what,
                )?;
                Ok(Step::Waits(format!("disk {old} is taken off {device} of {machine}")))
            }
            (Some(VolumeState::Available), None) => {
                let request = self.account.ec2.attach_volume().volume_id(new_id).instance_id(machine);
                let put = request.device(device).send().await;
                self.unless_on_its_way(
                    put.map(drop).map_err(|e| Refusal::of("ec2:AttachVolume", &e)),
                    &what,
                )?;
                Ok(Step::Waits(format!("disk {new_id} is put on {device} of {machine}")))
            }
            (Some(VolumeState::Error), _) => {
                Err(ProviderError::lasting(ErrorCode::Internal, format!("{what}: it could not be made")))
            }
            _ => Ok(Step::Waits(format!("disk {new_id} for {device} of {machine} is on its way"))),
        }
    }

    async fn goes_with_machine(&self, machine: &str, device: &str) -> Result<(), ProviderError> {
        let ebs = EbsInstanceBlockDeviceSpecification::builder().delete_on_termination(true).build();
        let mapping = InstanceBlockDeviceMappingSpecification::builder().device_name(device).ebs(ebs).build();
        let request = self.account.ec2.modify_instance_attribute().instance_id(machine);
        request.block_device_mappings(mapping).send().await.map(drop).map_err(|e| {
            let what = format!("{device} can't be made to go with machine {machine}");
            Refusal::of("ec2:ModifyInstanceAttribute", &e).about(&what)
        })
    }

    /// A disk that is on its way already is waited for.
    fn unless_on_its_way(&self, done: Result<(), Refusal>, what: &str) -> Result<(), ProviderError> {
        match done {
            Err(refusal) if refusal.meaning() != Meaning::WrongState => Err(refusal.about(what)),
            _ => Ok(()),
        }
    }
}
