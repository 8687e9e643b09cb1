//! `delete` of machines: their volumes first, the domain last, so that what is left can always be found.

use crate::domain::{Domain, Power};
use crate::hypervisor::Hypervisor;
use crate::volumes::OURS;
use replank_provider_protocol::{MachineId, ProviderError};
use std::collections::BTreeSet;

/// Everything that would keep libvirt from forgetting a domain, or that it would leave behind.
const WITH: [&str; 4] = ["--nvram", "--managed-save", "--snapshots-metadata", "--checkpoints-metadata"];

impl Hypervisor {
    /// Deletes a machine with its disks. One that is gone is fine.
    ///
    /// # Errors
    /// When libvirt refuses.
    pub async fn delete(&self, id: &MachineId) -> Result<(), ProviderError> {
        let domains = self.domains().await?;
        let Some(domain) = domains.iter().find(|d| d.id == *id) else { return Ok(()) };
        if domain.power != Power::Off {
            self.switch_off(id).await?;
        }
        for path in self.theirs(domain).await? {
            self.remove_file(&path, domain, &domains).await?;
        }
        // Logs that were rolled over are no volumes until libvirt has looked.
        self.virsh.run(&["pool-refresh", "--pool", &self.settings.pool]).await?;
        let begin = format!("{OURS}{id}-");
        for volume in self.volumes().await?.into_iter().filter(|volume| volume.starts_with(&begin)) {
            self.remove(&volume).await?;
        }
        match self.virsh.run(&[&["undefine", id.as_str()][..], &WITH].concat()).await {
            // It was one that libvirt forgets by itself when it is off, or somebody else was faster.
            Err(error) if error.says(&["failed to get domain", "Domain not found"]) => Ok(()),
            undefined => Ok(undefined.map(drop)?),
        }
    }

    /// Removes a file of a domain that others made, unless another domain has it too.
    async fn remove_file(
        &self,
        path: &str,
        domain: &Domain,
        domains: &[Domain],
    ) -> Result<(), ProviderError> {
        if let Some(other) = domains.iter().find(|d| d.id != domain.id && d.xml.contains(path)) {
            tracing::warn!(path, "the domain {} has it too: it stays", other.name);
            return Ok(());
        }
        match self.virsh.run(&["vol-delete", path]).await {
            Err(error)
                if error.says(&["no storage vol", "Storage volume not found", "failed to get vol"]) =>
            {
                tracing::warn!(path, "it is in no storage pool, or gone: delete it on libvirt's host");
                Ok(())
            }
            removed => Ok(removed.map(drop)?),
        }
    }

    /// The files of a domain that others made: its own disks, and what they were before snapshots.
    async fn theirs(&self, domain: &Domain) -> Result<BTreeSet<String>, ProviderError> {
        let mut files = BTreeSet::new();
        if domain.mark.made.is_some() {
            return Ok(files);
        }
        for disk in domain.disks.iter().filter(|disk| disk.own) {
            files.extend(self.file_of(disk).await?);
        }
        files.extend(domain.mark.snapshots.iter().map(|s| s.frozen.clone()));
        Ok(files)
    }
}
