//! Snapshots: every volume of a machine at one instant, known by one name.

use crate::instances::{self, filter, id, is_made_for, is_over, own_volumes};
use crate::provider::Greeted;
use crate::refusal::{Meaning, Refusal};
use crate::tags::{self, CLUSTER, DEVICE, MACHINE, NODE, POD_VOLUME, RUN, SET, on, tag};
use aws_sdk_ec2::types::{
    Filter, Instance, InstanceSpecification, ResourceType, Snapshot as EbsSnapshot,
    SnapshotState as EbsState, Volume, VolumeState,
};
use replank_provider_protocol::verbs::{MachineParams, Mutation, Progress};
use replank_provider_protocol::{
    ErrorCode, MachineId, ProviderError, RunId, Snapshot, SnapshotId, SnapshotState,
};
use serde_json::json;
use std::collections::BTreeMap;

/// What the names of sets begin with.
const PREFIX: &str = "set-";

/// The name of the set that an operation takes.
fn name(mutation: &Mutation) -> SnapshotId {
    SnapshotId::new(format!("{PREFIX}{}", tags::key(mutation)))
}

/// Whether a name can be a set's. A filter takes `*` for any characters: such a name must never become one.
fn is_set(id: &SnapshotId) -> bool {
    let rest = id.as_str().strip_prefix(PREFIX);
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Snapshots of one instant.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) id: SnapshotId,
    pub(crate) machine: MachineId,
    pub(crate) parts: Vec<EbsSnapshot>,
}

impl Set {
    fn of(id: &str, parts: Vec<EbsSnapshot>) -> Self {
        let machine = parts.iter().find_map(|part| tags::value(part.tags(), MACHINE)).unwrap_or_default();
        Self { id: SnapshotId::new(id), machine: MachineId::new(machine), parts }
    }

    pub(crate) fn state(&self) -> SnapshotState {
        let any = |state: &EbsState| self.parts.iter().any(|part| part.state.as_ref() == Some(state));
        match () {
            () if any(&EbsState::Error) => SnapshotState::Failed,
            () if self.parts.iter().all(|part| part.state == Some(EbsState::Completed)) => {
                SnapshotState::Ready
            }
            () => SnapshotState::Pending,
        }
    }

    fn shown(&self) -> Snapshot {
        Snapshot {
            id: self.id.clone(),
            machine: self.machine.clone(),
            state: self.state(),
            run: self.parts.first().and_then(|part| tags::run(part.tags())),
        }
    }

    fn progress(&self) -> String {
        let parts = self.parts.iter().map(|part| {
            let id = part.snapshot_id.as_deref().unwrap_or_default();
            format!("{id} is at {}", part.progress.as_deref().unwrap_or("0%"))
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

impl Greeted {
    /// Takes a snapshot of every volume that is the machine's own.
    ///
    /// # Errors
    /// As the protocol says for `snapshot`.
    pub async fn snapshot(&self, params: &MachineParams) -> Result<Progress<Snapshot>, ProviderError> {
        let MachineParams { mutation, machine } = params;
        let _turn = self.ledger.turn(mutation).await;
        let seen = self.ledger.look(mutation, "snapshot", &json!([machine])).await?;
        let set = name(mutation);
        if let Some(taken) = self.set(&set).await? {
            return self.settle_set(taken).await;
        }
        let instance = self.instances.get(machine).await?;
        if is_over(&instance) {
            let message = format!("machine {machine} is going for good: there is nothing left to take");
            return Err(ProviderError::lasting(ErrorCode::Invalid, message));
        }
        self.consent(&instance).await?;
        // There is no client token for this: one that was asked for may be there, and not be shown yet.
        if let Some(ago) = seen.begun(id(&instance)).filter(|ago| *ago < self.settings.consistency()) {
            let message = format!(
                "a snapshot of {machine} was asked for {} s ago, and EC2 does not show it yet",
                ago.as_secs()
            );
            return Ok(Progress::Pending { message });
        }
        self.ledger.begin(&seen, id(&instance), instance.tags()).await?;
        let node = instances::machine(&instance).name;
        let mut marks = tags::owner(mutation, &node);
        marks.extend([tag(SET, set.as_str()), tag(MACHINE, machine.as_str())]);
        let asked = self
            .account
            .ec2_once
            .create_snapshots()
            .description(format!("replank: {node}, run {}", mutation.run))
            .instance_specification(
                InstanceSpecification::builder()
                    .instance_id(machine.as_str())
                    .exclude_boot_volume(false)
                    .set_exclude_data_volume_ids(Some(self.left_out(&instance)).filter(|ids| !ids.is_empty()))
                    .build(),
            )
            .tag_specifications(on(ResourceType::Snapshot, marks))
            .send()
            .await;
        if let Err(error) = asked {
            let refusal = Refusal::of("ec2:CreateSnapshots", &error);
            // An answer that says no: none was taken, and none has to be waited for.
            if refusal.code.is_some() {
                self.ledger.withdraw(&seen, id(&instance)).await?;
            }
            return Err(refusal.about(&format!("a snapshot of machine {machine} can't be taken")));
        }
        Ok(Progress::Pending { message: format!("snapshot {set} of {machine} is being taken") })
    }

    /// The volumes of pods, unless they are asked for.
    fn left_out(&self, instance: &Instance) -> Vec<String> {
        if self.settings.snapshots.pod_volumes {
            return Vec::new();
        }
        let own: Vec<_> = own_volumes(instance).into_iter().filter_map(|m| m.device_name.as_ref()).collect();
        let others = instance
            .block_device_mappings()
            .iter()
            .filter(|mapping| mapping.device_name.as_ref().is_none_or(|device| !own.contains(&device)));
        others.filter_map(|mapping| mapping.ebs.as_ref()?.volume_id.clone()).collect()
    }

    /// A snapshot of an unencrypted disk holds the node's keys for everybody who may read it.
    async fn consent(&self, instance: &Instance) -> Result<(), ProviderError> {
        if self.settings.snapshots.unencrypted {
            return Ok(());
        }
        let left_out = self.left_out(instance);
        let mappings = instance.block_device_mappings().iter();
        let ids: Vec<String> = mappings
            .filter_map(|mapping| mapping.ebs.as_ref()?.volume_id.clone())
            .filter(|id| !left_out.contains(id))
            .collect();
        if ids.is_empty() {
            let message = format!("machine {} has no volumes to take a snapshot of", id(instance));
            return Err(ProviderError::lasting(ErrorCode::Invalid, message));
        }
        let volumes = self.volumes(None, Some(ids)).await?;
        let plain = volumes.iter().find(|volume| volume.encrypted != Some(true));
        plain.map_or(Ok(()), |volume| {
            let volume = volume.volume_id.as_deref().unwrap_or_default();
            let message = format!(
                "volume {volume} of machine {} is not encrypted, and a snapshot of it would hold the node's keys \
                 in the clear: set `snapshots.unencrypted: true` in provider.settings to take it all the same",
                id(instance)
            );
            Err(ProviderError::lasting(ErrorCode::Denied, message))
        })
    }

    /// Writes on each snapshot of a set which device it is of, as long as the machine still has those volumes.
    async fn settle_set(&self, set: Set) -> Result<Progress<Snapshot>, ProviderError> {
        let unmarked: Vec<&EbsSnapshot> =
            set.parts.iter().filter(|part| tags::value(part.tags(), DEVICE).is_none()).collect();
        if !unmarked.is_empty() {
            let instance = self.instances.get(&set.machine).await?;
            for part in unmarked {
                let (Some(snapshot), Some(volume)) = (&part.snapshot_id, &part.volume_id) else { continue };
                let mapping = instance.block_device_mappings().iter().find(|mapping| {
                    mapping.ebs.as_ref().and_then(|ebs| ebs.volume_id.as_ref()) == Some(volume)
                });
                let Some(device) = mapping.and_then(|mapping| mapping.device_name.as_ref()) else {
                    let message =
                        format!("snapshot {snapshot} is of {volume}, which is not on {}", set.machine);
                    return Err(ProviderError::lasting(ErrorCode::Internal, message));
                };
                let mut marks = vec![tag(DEVICE, device)];
                let own = own_volumes(&instance).into_iter();
                if own.filter_map(|mapping| mapping.device_name.as_ref()).all(|own| own != device) {
                    marks.push(tag(POD_VOLUME, volume));
                }
                let marked = self.account.ec2.create_tags().resources(snapshot).set_tags(Some(marks));
                marked.send().await.map_err(|e| {
                    Refusal::of("ec2:CreateTags", &e).about(&format!("{snapshot} can't be tagged"))
                })?;
            }
            let message = format!("snapshot {} is being taken: {}", set.id, set.progress());
            return Ok(Progress::Pending { message });
        }
        Ok(match set.state() {
            SnapshotState::Pending => {
                let message = format!("snapshot {} is being taken: {}", set.id, set.progress());
                Progress::Pending { message }
            }
            SnapshotState::Failed => {
                let message =
                    format!("snapshot {} of {} has failed: {}", set.id, set.machine, set.progress());
                return Err(ProviderError::lasting(ErrorCode::Internal, message));
            }
            SnapshotState::Ready => Progress::Done { value: set.shown() },
        })
    }

    /// A set by its name.
    pub(crate) async fn set(&self, set: &SnapshotId) -> Result<Option<Set>, ProviderError> {
        if !is_set(set) {
            return Ok(None);
        }
        let parts = self.parts(vec![filter(&format!("tag:{SET}"), set.as_str())]).await?;
        Ok((!parts.is_empty()).then(|| Set::of(set.as_str(), parts)))
    }

    async fn parts(&self, filters: Vec<Filter>) -> Result<Vec<EbsSnapshot>, ProviderError> {
        let request = self.account.ec2.describe_snapshots().owner_ids("self").set_filters(Some(filters));
        let mut found = request.into_paginator().items().send();
        let mut parts = Vec::new();
        while let Some(part) = found.next().await {
            parts.push(part.map_err(|e| {
                Refusal::of("ec2:DescribeSnapshots", &e).about("the snapshots can't be listed")
            })?);
        }
        parts.sort_by(|a, b| {
            (&a.start_time, &a.snapshot_id)
                .partial_cmp(&(&b.start_time, &b.snapshot_id))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        Ok(parts)
    }

    pub(crate) async fn volumes(
        &self,
        filters: Option<Vec<Filter>>,
        ids: Option<Vec<String>>,
    ) -> Result<Vec<Volume>, ProviderError> {
        let request = self.account.ec2.describe_volumes().set_filters(filters).set_volume_ids(ids);
        let mut found = request.into_paginator().items().send();
        let mut volumes = Vec::new();
        while let Some(volume) = found.next().await {
            volumes.push(volume.map_err(|e| {
                Refusal::of("ec2:DescribeVolumes", &e).about("the volumes can't be looked up")
            })?);
        }
        Ok(volumes)
    }

    /// The sets that were taken for a cluster or one of its runs, by id; and volumes that a restore has left
    /// without a machine, which can be deleted like them.
    pub(crate) async fn sets(
        &self,
        cluster: &str,
        run: Option<&RunId>,
    ) -> Result<Vec<Snapshot>, ProviderError> {
        let mut filters = vec![filter(&format!("tag:{CLUSTER}"), cluster)];
        filters.extend(run.map(|run| filter(&format!("tag:{RUN}"), run.as_str())));
        let mut sets: BTreeMap<String, Vec<EbsSnapshot>> = BTreeMap::new();
        for part in self.parts(filters.clone()).await? {
            if !is_made_for(part.tags(), cluster, run) {
                continue;
            }
            // One without a set is not of this making.
            if let Some(set) = tags::value(part.tags(), SET).map(str::to_owned) {
                sets.entry(set).or_default().push(part);
            }
        }
        let mut all: Vec<Snapshot> =
            sets.into_iter().map(|(id, parts)| Set::of(&id, parts).shown()).collect();
        for volume in self.volumes(Some(filters), None).await? {
            let (Some(id), Some(VolumeState::Available)) = (&volume.volume_id, &volume.state) else {
                continue;
            };
            if !is_made_for(volume.tags(), cluster, run) {
                continue;
            }
            let machine = tags::value(volume.tags(), MACHINE).or(tags::value(volume.tags(), NODE));
            all.push(Snapshot {
                id: SnapshotId::new(id),
                machine: MachineId::new(machine.unwrap_or_default()),
                state: SnapshotState::Failed,
                run: tags::run(volume.tags()),
            });
        }
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }

    /// Takes a set of snapshots away, or a volume that was left over.
    ///
    /// # Errors
    /// As the protocol says for `delete`.
    pub async fn delete_snapshot(
        &self,
        mutation: &Mutation,
        snapshot: &SnapshotId,
    ) -> Result<Progress<()>, ProviderError> {
        let _turn = self.ledger.turn(mutation).await;
        let seen = self.ledger.look(mutation, "delete", &json!(["snapshot", snapshot])).await?;
        if snapshot.as_str().starts_with("vol-") {
            return self.delete_volume(mutation, snapshot.as_str()).await;
        }
        let Some(set) = self.set(snapshot).await? else { return Ok(Progress::Done { value: () }) };
        for part in &set.parts {
            let Some(id) = &part.snapshot_id else { continue };
            match self.ledger.begin(&seen, id, part.tags()).await {
                Ok(()) => {}
                // It went while it was looked at.
                Err(error) if error.code == ErrorCode::NotFound => continue,
                Err(error) => return Err(error),
            }
            if let Err(error) = self.account.ec2.delete_snapshot().snapshot_id(id).send().await {
                let refusal = Refusal::of("ec2:DeleteSnapshot", &error);
                if refusal.meaning() != Meaning::NotFound {
                    return Err(refusal.about(&format!("snapshot {id} can't be deleted")));
                }
            }
        }
        Ok(Progress::Pending { message: format!("snapshot {snapshot} is being deleted") })
    }

    /// Takes a volume away that is ours and on no machine.
    pub(crate) async fn delete_volume(
        &self,
        mutation: &Mutation,
        volume: &str,
    ) -> Result<Progress<()>, ProviderError> {
        let ours = vec![
            filter("volume-id", volume),
            filter(&format!("tag:{CLUSTER}"), &mutation.cluster),
            filter("status", "available"),
        ];
        let there = self.volumes(Some(ours), None).await?;
        if there.iter().all(|found| found.volume_id.as_deref() != Some(volume)) {
            return Ok(Progress::Done { value: () });
        }
        match self.account.ec2.delete_volume().volume_id(volume).send().await {
            Ok(_) => Ok(Progress::Pending { message: format!("volume {volume} is being deleted") }),
            Err(error) => match Refusal::of("ec2:DeleteVolume", &error) {
                refusal if refusal.meaning() == Meaning::NotFound => Ok(Progress::Done { value: () }),
                refusal => Err(refusal.about(&format!("volume {volume} can't be deleted"))),
            },
        }
    }
}
