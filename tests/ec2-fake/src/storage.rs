//! Volumes and snapshots.

use crate::request::{Answer, No, Params, allowed};
use crate::tagging::{specified, tag_set};
use crate::world::{Attachment, REGION, State, Tags, World};
use crate::xml::{list, maybe, text};
use std::collections::BTreeMap;
use std::time::Instant;

/// A volume.
#[derive(Clone, Debug)]
pub struct Volume {
    /// GiB.
    pub size: i64,
    /// Its type.
    pub kind: String,
    /// Operations a second.
    pub iops: Option<i64>,
    /// MiB a second.
    pub throughput: Option<i64>,
    /// Whether its bytes are encrypted.
    pub encrypted: bool,
    /// Its zone.
    pub zone: String,
    /// What is on it.
    pub content: String,
    /// The snapshot that it was made from.
    pub snapshot: Option<String>,
    /// On which machine, as which device.
    pub attached: Option<(String, String)>,
    /// Its tags.
    pub tags: Tags,
    pub(crate) born: Instant,
    /// Until when it is being made, or is on its way to or from a machine.
    pub(crate) busy: Option<Instant>,
}

/// A snapshot.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The volume that it was taken of.
    pub volume: String,
    /// GiB.
    pub size: i64,
    /// Whether its bytes are encrypted.
    pub encrypted: bool,
    /// What was on it.
    pub content: String,
    /// `pending`, `completed` or `error`.
    pub state: &'static str,
    /// Its tags.
    pub tags: Tags,
    pub(crate) born: Instant,
    pub(crate) ready: Instant,
}

impl World {
    pub(crate) fn settle_storage(&mut self, now: Instant) {
        for volume in self.volumes.values_mut() {
            volume.busy = volume.busy.filter(|until| *until > now);
        }
        for snapshot in self.snapshots.values_mut() {
            if snapshot.state == "pending" && snapshot.ready <= now {
                snapshot.state = "completed";
            }
        }
    }

    /// A new volume. Its id.
    pub(crate) fn volume_of(&mut self, subnet: &str, size: i64, born: Instant) -> String {
        let id = self.id("vol");
        let zone = self.subnets.get(subnet).map(|s| s.zone.clone()).unwrap_or_default();
        let volume = Volume {
            size,
            kind: "gp3".into(),
            iops: Some(3000),
            throughput: Some(125),
            encrypted: true,
            zone,
            content: String::new(),
            snapshot: None,
            attached: None,
            tags: Tags::default(),
            born,
            busy: None,
        };
        self.volumes.insert(id.clone(), volume);
        id
    }

    pub(crate) fn describe_volumes(&self, params: &Params) -> Answer {
        let ids = params.list("VolumeId");
        for id in &ids {
            let seen = self.volumes.get(id).is_some_and(|v| self.is_seen(v.born));
            if !seen {
                return Err(No::missing("InvalidVolume.NotFound", "volume", id));
            }
        }
        let filters = params.filters();
        let items = self.volumes.iter().filter(|(id, volume)| {
            let tags = volume.tags.until(self.seen_until());
            let fits =
                |(name, values): &(String, Vec<String>)| match (name.strip_prefix("tag:"), name.as_str()) {
                    (Some(key), _) => tags.get(key).is_some_and(|value| allowed(values, value)),
                    (None, "volume-id") => allowed(values, id),
                    (None, "status") => allowed(values, status(volume)),
                    _ => false,
                };
            (ids.is_empty() || ids.contains(id)) && self.is_seen(volume.born) && filters.iter().all(fits)
        });
        let items: Vec<String> = items.map(|(id, volume)| self.shown_volume(id, volume)).collect();
        Ok(self.page(params, "volumeSet", items))
    }

    pub(crate) fn shown_volume(&self, id: &str, volume: &Volume) -> String {
        let attachments = volume.attached.iter().map(|(instance, device)| {
            let going = |i: &crate::world::Instance| {
                i.disks.iter().find(|d| d.volume == id).is_some_and(|d| d.goes_with_it)
            };
            let status = if volume.busy.is_some() { "attaching" } else { "attached" };
            [
                text("volumeId", id),
                text("instanceId", instance),
                text("device", device),
                text("status", status),
                text("deleteOnTermination", self.instances.get(instance).is_some_and(going)),
            ]
            .concat()
        });
        [
            text("volumeId", id),
            text("size", volume.size),
            text("volumeType", &volume.kind),
            maybe("iops", volume.iops),
            maybe("throughput", volume.throughput),
            text("encrypted", volume.encrypted),
            text("availabilityZone", &volume.zone),
            maybe("snapshotId", volume.snapshot.as_ref()),
            text("status", status(volume)),
            list("attachmentSet", attachments),
            tag_set(&volume.tags.until(self.seen_until())),
        ]
        .concat()
    }
}

/// What EC2 calls the state of a volume.
fn status(volume: &Volume) -> &'static str {
    match (&volume.attached, volume.busy) {
        (Some(_), _) => "in-use",
        (None, Some(_)) => "creating",
        (None, None) => "available",
    }
}

/// Region and zone, for those who need both.
pub(crate) fn zone(letter: char) -> String {
    format!("{REGION}{letter}")
}

/// The parts of a snapshot that every answer shows.
fn shown_snapshot(id: &str, snapshot: &Snapshot, tags: &BTreeMap<String, String>) -> String {
    [
        text("snapshotId", id),
        text("volumeId", &snapshot.volume),
        text("volumeSize", snapshot.size),
        text("encrypted", snapshot.encrypted),
        text("status", snapshot.state),
        text("state", snapshot.state),
        text("startTime", "2026-03-01T00:00:00.000Z"),
        text("progress", if snapshot.state == "completed" { "100%" } else { "40%" }),
        tag_set(tags),
    ]
    .concat()
}

impl World {
    pub(crate) fn create_snapshots(&mut self, params: &Params) -> Answer {
        let of = params.under("InstanceSpecification");
        let left_out = of.list("ExcludeDataVolumeId");
        let disks = self.instance(of.need("InstanceId")?)?.disks.clone();
        let given = specified(params, "snapshot")?;
        let now = Instant::now();
        let mut items = Vec::new();
        for disk in disks.iter().filter(|disk| !left_out.contains(&disk.volume)) {
            let Some(volume) = self.volumes.get(&disk.volume).cloned() else { continue };
            let mut tags = Tags::default();
            for (key, value) in &given {
                tags.change(now, key, Some(value));
            }
            let snapshot = Snapshot {
                volume: disk.volume.clone(),
                size: volume.size,
                encrypted: volume.encrypted,
                content: volume.content,
                state: "pending",
                tags,
                born: now,
                ready: now + self.pace.copy,
            };
            let id = self.id("snap");
            items.push(shown_snapshot(&id, &snapshot, &snapshot.tags.now()));
            self.snapshots.insert(id, snapshot);
        }
        Ok(list("snapshotSet", items))
    }

    pub(crate) fn describe_snapshots(&self, params: &Params) -> Answer {
        let filters = params.filters();
        let mut items = Vec::new();
        for (id, snapshot) in self.snapshots.iter().filter(|(_, s)| self.is_seen(s.born)) {
            let tags = snapshot.tags.until(self.seen_until());
            let fits = |(name, values): &(String, Vec<String>)| {
                name.strip_prefix("tag:").and_then(|key| tags.get(key)).is_some_and(|v| allowed(values, v))
            };
            if filters.iter().all(fits) {
                items.push(shown_snapshot(id, snapshot, &tags));
            }
        }
        Ok(self.page(params, "snapshotSet", items))
    }

    pub(crate) fn delete_snapshot(&mut self, params: &Params) -> Answer {
        let id = params.need("SnapshotId")?;
        let gone = self.snapshots.remove(id);
        gone.map(|_| text("return", true))
            .ok_or_else(|| No::missing("InvalidSnapshot.NotFound", "snapshot", id))
    }

    pub(crate) fn create_volume(&mut self, params: &Params) -> Answer {
        let token = params.get("ClientToken").map(str::to_owned);
        if let Some((fingerprint, id)) = token.as_ref().and_then(|token| self.tokens.get(token)).cloned() {
            if fingerprint != params.fingerprint() {
                return Err(No::new("IdempotentParameterMismatch", "The arguments are not those of before."));
            }
            return match self.volumes.get(&id) {
                Some(volume) => Ok(self.shown_volume(&id, volume)),
                None => Err(No::missing("InvalidVolume.NotFound", "volume", &id)),
            };
        }
        let from = params.need("SnapshotId")?;
        let Some(snapshot) = self.snapshots.get(from).cloned() else {
            return Err(No::missing("InvalidSnapshot.NotFound", "snapshot", from));
        };
        if snapshot.state != "completed" {
            return Err(No::new("IncorrectState", format!("Snapshot {from} is not completed")));
        }
        let now = Instant::now();
        let mut tags = Tags::default();
        for (key, value) in specified(params, "volume")? {
            tags.change(now, &key, Some(&value));
        }
        let volume = Volume {
            size: snapshot.size,
            kind: params.get("VolumeType").unwrap_or("gp2").to_owned(),
            iops: params.number("Iops"),
            throughput: params.number("Throughput"),
            encrypted: snapshot.encrypted,
            zone: params.need("AvailabilityZone")?.to_owned(),
            content: snapshot.content,
            snapshot: Some(from.to_owned()),
            attached: None,
            tags,
            born: now,
            busy: Some(now + self.pace.copy),
        };
        let id = self.id("vol");
        let shown = self.shown_volume(&id, &volume);
        self.volumes.insert(id.clone(), volume);
        if let Some(token) = token {
            self.tokens.insert(token, (params.fingerprint(), id));
        }
        Ok(shown)
    }

    pub(crate) fn delete_volume(&mut self, params: &Params) -> Answer {
        let id = params.need("VolumeId")?;
        match self.volumes.get(id) {
            None => return Err(No::missing("InvalidVolume.NotFound", "volume", id)),
            Some(volume) if volume.attached.is_some() => {
                return Err(No::new("VolumeInUse", format!("Volume {id} is currently attached")));
            }
            Some(_) => {}
        }
        self.volumes.remove(id);
        Ok(text("return", true))
    }

    pub(crate) fn detach_volume(&mut self, params: &Params) -> Answer {
        let id = params.need("VolumeId")?;
        let Some((instance, device)) = self.volumes.get(id).and_then(|volume| volume.attached.clone()) else {
            return Err(No::new("IncorrectState", format!("Volume '{id}' is in the 'available' state.")));
        };
        let on = self.instance(&instance)?;
        if on.state != State::Stopped {
            let message = format!("Unable to detach root volume '{id}' from instance '{instance}'");
            return Err(No::new("OperationNotPermitted", message));
        }
        on.disks.retain(|disk| disk.volume != id);
        if let Some(volume) = self.volumes.get_mut(id) {
            volume.attached = None;
        }
        Ok(text("volumeId", id) + &text("device", device) + &text("status", "detaching"))
    }

    pub(crate) fn attach_volume(&mut self, params: &Params) -> Answer {
        let (id, device) = (params.need("VolumeId")?.to_owned(), params.need("Device")?.to_owned());
        let instance = params.need("InstanceId")?.to_owned();
        match self.volumes.get(&id) {
            None => return Err(No::missing("InvalidVolume.NotFound", "volume", &id)),
            Some(volume) if status(volume) != "available" => {
                return Err(No::new("IncorrectState", format!("Volume {id} is not 'available'.")));
            }
            Some(_) => {}
        }
        let on = self.instance(&instance)?;
        if on.disks.iter().any(|disk| disk.device == device) {
            let message =
                format!("Invalid value '{device}' for unixDevice. Attachment point is already in use");
            return Err(No::new("InvalidParameterValue", message));
        }
        on.disks.push(Attachment { device: device.clone(), volume: id.clone(), goes_with_it: false });
        let until = Instant::now() + self.pace.copy;
        if let Some(volume) = self.volumes.get_mut(&id) {
            volume.attached = Some((instance, device));
            volume.busy = Some(until);
        }
        Ok(text("volumeId", id) + &text("status", "attaching"))
    }
}
