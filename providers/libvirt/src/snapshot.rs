//! `snapshot` and `restore`, with layers instead of libvirt's own snapshots.
//!
//! A snapshot lays a new file over the disk and lets the guest write there: the file below holds that instant
//! from then on. To restore, another new file is laid over it. No version of libvirt has to revert anything, no
//! memory is written, and no file is ever committed into the one below it, which others may share.

use crate::domain::{Disk, Domain, Power, Source};
use crate::hypervisor::Hypervisor;
use crate::mark::{SnapshotMark, SnapshotPhase};
use crate::volumes::{New, OURS, Part, name};
use crate::xml::{Edits, Element, child, children};
use replank_provider_kit::ledger::key;
use replank_provider_protocol::verbs::Mutation;
use replank_provider_protocol::{ErrorCode, MachineId, ProviderError, Snapshot, SnapshotId};

fn invalid(message: String) -> ProviderError {
    ProviderError::lasting(ErrorCode::Invalid, message)
}

fn no_snapshot(id: &SnapshotId) -> ProviderError {
    ProviderError::lasting(ErrorCode::NotFound, format!("there is no snapshot {id}"))
}

/// The machine that a snapshot's id belongs to.
pub fn machine_of(snapshot: &SnapshotId) -> Option<MachineId> {
    snapshot.as_str().split_once('.').map(|(machine, _)| MachineId::new(machine))
}

impl Hypervisor {
    /// Takes a snapshot of a machine's system disk, on or off.
    ///
    /// # Errors
    /// When there is no such machine, or its disk is no file.
    pub async fn snapshot(&self, id: &MachineId, mutation: &Mutation) -> Result<Snapshot, ProviderError> {
        let mut domain = self.domain(id).await?;
        let key = key(mutation);
        let snapshot = SnapshotId::new(format!("{id}.{key}"));
        let layer = name(id, Part::Layer(&key));
        let mut taken = match domain.mark.snapshots.iter().find(|s| s.id == snapshot) {
            Some(known) if known.phase == SnapshotPhase::Deleted => return Err(no_snapshot(&snapshot)),
            Some(known) => known.clone(),
            None => {
                let (disk, frozen) = self.file_of_system_disk(&domain).await?;
                SnapshotMark {
                    id: snapshot,
                    cluster: mutation.cluster.clone(),
                    run: mutation.run.clone(),
                    frozen,
                    format: disk.format.clone(),
                    layer: self.path(&layer),
                    phase: SnapshotPhase::Taking,
                }
            }
        };
        if taken.phase == SnapshotPhase::Taking {
            // First written down, then done.
            domain.mark.put(taken.clone());
            self.keep(&domain.id, domain.power, &domain.mark).await?;
            self.lay_over(&domain, &taken, &layer).await?;
            taken.phase = SnapshotPhase::Ready;
            let mut domain = self.domain(id).await?;
            domain.mark.put(taken.clone());
            self.keep(&domain.id, domain.power, &domain.mark).await?;
        }
        Ok(taken.shown(id))
    }

    /// Brings a machine that is off back to a snapshot.
    ///
    /// # Errors
    /// When there is no such machine or snapshot, or the machine is on.
    pub async fn restore(
        &self,
        id: &MachineId,
        snapshot: &SnapshotId,
        mutation: &Mutation,
    ) -> Result<(), ProviderError> {
        let domain = self.domain(id).await?;
        let owner = machine_of(snapshot);
        if owner.as_ref() != Some(id) {
            let known = match &owner {
                Some(owner) => self.look(owner).await?.is_some_and(|d| d.mark.snapshot(snapshot).is_some()),
                None => false,
            };
            let of_another = || invalid(format!("snapshot {snapshot} is of another machine than {id}"));
            return Err(if known { of_another() } else { no_snapshot(snapshot) });
        }
        let snapshot = domain.mark.snapshot(snapshot).ok_or_else(|| no_snapshot(snapshot))?;
        if domain.power != Power::Off {
            return Err(invalid(format!("machine {id} is on; stop it before it is restored")));
        }
        let (disk, active) = self.file_of_system_disk(&domain).await?;
        let layer = name(id, Part::Layer(&key(mutation)));
        let file = self.path(&layer);
        if active == file {
            return Ok(());
        }
        // What an ended attempt left of it was never used.
        self.remove(&layer).await?;
        let capacity = self.disk_capacity(id, &disk.target).await?;
        let over = Some((snapshot.frozen.as_str(), snapshot.format.as_str()));
        self.make(&New { name: &layer, format: "qcow2", capacity, over }).await?;
        self.put_disk(id, &disk.target, &file).await?;
        self.abandon(&domain, &active).await
    }

    /// Forgets a snapshot. Its file stays below the machine's disk, and goes with the machine.
    ///
    /// # Errors
    /// When libvirt can't be asked.
    pub async fn forget(&self, id: &SnapshotId) -> Result<(), ProviderError> {
        let Some(machine) = machine_of(id) else { return Ok(()) };
        let Some(mut domain) = self.look(&machine).await? else { return Ok(()) };
        let Some(known) = domain.mark.snapshot(id) else { return Ok(()) };
        let forgotten = SnapshotMark { phase: SnapshotPhase::Deleted, ..known.clone() };
        domain.mark.put(forgotten);
        Ok(self.keep(&domain.id, domain.power, &domain.mark).await?)
    }

    /// Where the content of a domain's system disk lies.
    async fn file_of_system_disk<'a>(&self, domain: &'a Domain) -> Result<(&'a Disk, String), ProviderError> {
        let none = || invalid(format!("domain {} has no disk of its own in a file", domain.name));
        let disk = domain.system_disk().ok_or_else(none)?;
        let file = self.file_of(disk).await?;
        Ok((disk, file.ok_or_else(none)?))
    }

    /// Where a disk's content lies, if it is a file or a device.
    pub(crate) async fn file_of(&self, disk: &Disk) -> Result<Option<String>, ProviderError> {
        Ok(match &disk.source {
            Source::Path(path) => Some(path.clone()),
            Source::Volume { pool, volume } => {
                Some(self.virsh.run(&["vol-path", "--pool", pool, volume]).await?)
            }
            Source::Other => None,
        })
    }

    /// Has the guest write to a new file from now on.
    async fn lay_over(
        &self,
        domain: &Domain,
        taken: &SnapshotMark,
        layer: &str,
    ) -> Result<(), ProviderError> {
        let (disk, active) = self.file_of_system_disk(domain).await?;
        if active == taken.layer {
            return Ok(());
        }
        // What an ended attempt left of it was never used.
        self.remove(layer).await?;
        let capacity = self.disk_capacity(&domain.id, &disk.target).await?;
        let over = Some((taken.frozen.as_str(), taken.format.as_str()));
        self.make(&New { name: layer, format: "qcow2", capacity, over }).await?;
        if domain.power == Power::Off {
            return self.put_disk(&domain.id, &disk.target, &taken.layer).await;
        }
        let mut words: Vec<String> = [
            "snapshot-create-as",
            domain.id.as_str(),
            "--disk-only",
            "--atomic",
            "--no-metadata",
            "--reuse-external",
        ]
        .map(str::to_owned)
        .into();
        for known in &domain.disks {
            let how = match known.target == disk.target {
                // A comma in a value is doubled.
                true => format!("snapshot=external,file={}", taken.layer.replace(',', ",,")),
                false => "snapshot=no".into(),
            };
            words.extend(["--diskspec".to_owned(), format!("{},{how}", known.target)]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Ok(self.virsh.run(&words).await.map(drop)?)
    }

    /// Gives a domain that is off another file for a disk.
    async fn put_disk(&self, id: &MachineId, target: &str, file: &str) -> Result<(), ProviderError> {
        let xml = self.next_start(id).await?.xml;
        let xml = with_disk(&xml, target, file).map_err(|e| {
            ProviderError::lasting(ErrorCode::Internal, format!("the definition of {id}: {e}"))
        })?;
        Ok(self.define(&xml).await?)
    }

    /// Removes a layer that nothing is laid over: what was written after the snapshot.
    async fn abandon(&self, domain: &Domain, file: &str) -> Result<(), ProviderError> {
        let held = domain.mark.snapshots.iter().any(|s| s.frozen == file);
        let begin = format!("{OURS}{}-", domain.id);
        match self.in_pool(file).filter(|volume| volume.starts_with(&begin) && !held) {
            Some(volume) => Ok(self.remove(volume).await?),
            None => Ok(()),
        }
    }
}

/// The definition with another file for one of its disks; the rest of it stays as it was.
pub(crate) fn with_disk(xml: &str, target: &str, file: &str) -> Result<String, String> {
    let document = roxmltree::Document::parse(xml).map_err(|e| e.to_string())?;
    let devices = child(document.root_element(), "devices").ok_or("it has no devices")?;
    let is_it = |disk: &roxmltree::Node<'_, '_>| {
        child(*disk, "target").and_then(|t| t.attribute("dev")) == Some(target)
    };
    let disk = children(devices, "disk").find(is_it).ok_or_else(|| format!("it has no disk {target}"))?;
    let source = child(disk, "source").ok_or_else(|| format!("its disk {target} has no source"))?;
    let mut edits = Edits::of(xml);
    edits.set(disk, "type", "file");
    edits.replace(source.range(), Element::new("source").with("file", file).render());
    match child(disk, "driver") {
        Some(driver) => edits.set(driver, "type", "qcow2"),
        None => {
            let at = source.range().start;
            edits.replace(at..at, "<driver name='qemu' type='qcow2'/>");
        }
    }
    // What it was laid over before; libvirt looks for itself.
    if let Some(below) = child(disk, "backingStore") {
        edits.replace(below.range(), "");
    }
    Ok(edits.done())
}

#[cfg(test)]
mod tests {
    use super::{machine_of, with_disk};
    use replank_provider_protocol::{MachineId, SnapshotId};

    #[test]
    fn a_snapshot_leads_to_its_machine() {
        assert_eq!(machine_of(&SnapshotId::new("m.s")), Some(MachineId::new("m")));
        assert_eq!(machine_of(&SnapshotId::new("rp-check-never-was")), None);
    }

    #[test]
    fn a_disk_gets_another_file_and_nothing_else_changes() {
        let xml = "<domain type='kvm'>\n <devices>\n  <disk type='block' device='disk'><driver name='qemu' type='raw' \
                   cache='none'/><source dev='/dev/vg/a' index='1'/><backingStore/><target dev='vda'/></disk>\n  \
                   <disk type='file'><source file='b'/><target dev='vdb'/></disk>\n </devices>\n</domain>";
        let wanted = "<domain type='kvm'>\n <devices>\n  <disk type='file' device='disk'><driver name='qemu' type='qcow2' \
                      cache='none'/><source file='/p/l&apos;'/><target dev='vda'/></disk>\n  \
                      <disk type='file'><source file='b'/><target dev='vdb'/></disk>\n </devices>\n</domain>";
        assert_eq!(with_disk(xml, "vda", "/p/l'").as_deref(), Ok(wanted));
        assert!(with_disk(xml, "vdc", "x").is_err());
    }
}
