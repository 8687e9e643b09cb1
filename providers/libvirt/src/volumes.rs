//! The volumes of our machines. Their names begin with the machine's id, and so lead to it.

use crate::hypervisor::Hypervisor;
use crate::virsh::VirshError;
use crate::xml::Element;
use replank_provider_protocol::{ErrorCode, MachineId, ProviderError};
use std::collections::BTreeSet;
use std::io::Write as _;

/// How the names of all of replank's volumes begin.
pub const OURS: &str = "replank-";

/// What a volume of a machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Its disk, as it was made.
    Disk,
    /// Its disk since a snapshot or a restore, by the operation's key.
    Layer(&'a str),
    /// Its seed.
    Seed,
    /// What it prints.
    Console,
}

/// The name of a machine's volume.
pub fn name(machine: &MachineId, part: Part<'_>) -> String {
    let part = match part {
        Part::Disk => "disk",
        Part::Layer(key) => key,
        Part::Seed => "seed",
        Part::Console => "console",
    };
    format!("{OURS}{machine}-{part}")
}

/// A new volume.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its format.
    pub format: &'a str,
    /// Its size in bytes.
    pub capacity: u64,
    /// The file that it is laid over, and that file's format.
    pub over: Option<(&'a str, &'a str)>,
}

impl Hypervisor {
    /// Where a volume of the pool lies on libvirt's host.
    pub fn path(&self, volume: &str) -> String {
        format!("{}/{volume}", self.folder)
    }

    /// The volume's name, if it is one of the pool.
    pub fn in_pool<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&self.folder)?.strip_prefix('/').filter(|name| !name.contains('/'))
    }

    /// The names of replank's volumes.
    ///
    /// # Errors
    /// When libvirt can't be asked.
    pub async fn volumes(&self) -> Result<BTreeSet<String>, VirshError> {
        let said = self.virsh.run(&["vol-list", "--pool", &self.settings.pool]).await?;
        let names = said.lines().filter_map(|line| line.split_whitespace().next());
        Ok(names.filter(|name| name.starts_with(OURS)).map(str::to_owned).collect())
    }

    /// Makes a volume; one that is there stays as it is.
    ///
    /// # Errors
    /// When it can't be made.
    pub async fn make(&self, new: &New<'_>) -> Result<(), VirshError> {
        let mut volume = Element::new("volume")
            .child(Element::new("name").text(new.name))
            .child(Element::new("capacity").with("unit", "bytes").text(new.capacity))
            .child(Element::new("allocation").text(0))
            .child(Element::new("target").child(Element::new("format").with("type", new.format)));
        if let Some((path, format)) = new.over {
            let format = Element::new("format").with("type", format);
            volume = volume
                .child(Element::new("backingStore").child(Element::new("path").text(path)).child(format));
        }
        let file = written(volume.render().as_bytes())?;
        let file = file.path().display().to_string();
        match self.virsh.run(&["vol-create", "--pool", &self.settings.pool, &file]).await {
            Err(error) if error.says(&["exists already"]) => Ok(()),
            made => made.map(drop),
        }
    }

    /// Fills a volume. The bytes may be secret: they go by a file of this user's alone.
    ///
    /// # Errors
    /// When it can't be filled.
    pub async fn fill(&self, volume: &str, bytes: &[u8]) -> Result<(), VirshError> {
        let file = written(bytes)?;
        let file = file.path().display().to_string();
        self.virsh.run(&["vol-upload", "--pool", &self.settings.pool, volume, &file]).await.map(drop)
    }

    /// Removes a volume of the pool. One that is gone is fine.
    ///
    /// # Errors
    /// When it can't be removed.
    pub async fn remove(&self, volume: &str) -> Result<(), VirshError> {
        match self.virsh.run(&["vol-delete", "--pool", &self.settings.pool, volume]).await {
            Err(error) if error.says(&["no storage vol", "Storage volume not found", "No such file"]) => {
                Ok(())
            }
            removed => removed.map(drop),
        }
    }

    /// The end of what a volume holds, as text.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn printed(&self, volume: &str, most: usize) -> Result<String, ProviderError> {
        let pool = &self.settings.pool;
        let said = self.virsh.run(&["vol-download", "--pool", pool, volume, "/dev/stdout"]).await?;
        let mut begin = said.len().saturating_sub(most);
        while !said.is_char_boundary(begin) {
            begin += 1;
        }
        Ok(said[begin..].to_owned())
    }

    /// How large the image is, in bytes.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn image_capacity(&self) -> Result<u64, ProviderError> {
        let (pool, image) = (&self.settings.pool, &self.settings.image);
        let said = self.virsh.run(&["vol-info", "--bytes", "--pool", pool, image]).await?;
        number(&said, "Capacity:").ok_or_else(|| unreadable("vol-info", &said))
    }

    /// How large a domain's disk is, in bytes.
    ///
    /// # Errors
    /// When there is no such disk.
    pub async fn disk_capacity(&self, machine: &MachineId, target: &str) -> Result<u64, ProviderError> {
        let said = self.virsh.run(&["domblkinfo", machine.as_str(), target]).await?;
        number(&said, "Capacity:").ok_or_else(|| unreadable("domblkinfo", &said))
    }
}

fn unreadable(command: &str, said: &str) -> ProviderError {
    ProviderError::lasting(ErrorCode::Internal, format!("`virsh {command}` said what can't be read: {said}"))
}

fn number(said: &str, label: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

fn written(bytes: &[u8]) -> Result<tempfile::NamedTempFile, VirshError> {
    let written = || {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(bytes)?;
        file.flush()?;
        Ok(file)
    };
    written().map_err(VirshError::File)
}
