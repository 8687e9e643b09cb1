//! The volume that carries user-data to a machine without a cloud: cloud-init's data source NoCloud.
//!
//! It is a small FAT file system with the label `CIDATA`. The same seed gives the same bytes on every machine
//! and at every time, so that a provider that is asked again finds its own volume unchanged.

use fatfs::{Date, DateTime, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};
use serde_json::json;
use std::fmt;
use std::io::{Cursor, Write as _};

/// The label that cloud-init looks for, padded to a FAT label's eleven letters.
const LABEL: [u8; 11] = *b"CIDATA     ";
/// The volume's serial number. It tells volumes apart to nobody here, and a random one would make every
/// image another one.
const SERIAL: u32 = 0x5EED_C1DA;
/// The smallest image: smaller ones trip tools that expect at least a few cylinders.
const SMALLEST: usize = 1024 * 1024;
/// Images grow in these steps.
const STEP: usize = 1024 * 1024;
/// What FAT itself needs beside the files: boot sector, two tables, the root directory, partly filled clusters.
const OVERHEAD: usize = 256 * 1024;
/// The largest content that is written. cloud-init reads it into memory, and nothing that we write comes near.
const LARGEST: usize = 64 * 1024 * 1024;
/// The longest host name that Linux takes.
const LONGEST_NAME: usize = 64;

/// What cloud-init finds on the volume. It may hold secrets, so `Debug` shows sizes only.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed {
    /// The finished user-data, in any form that cloud-init reads.
    pub user_data: Vec<u8>,
    /// Who the machine is.
    pub meta_data: MetaData,
    /// A network configuration (version 1 or 2), where DHCP on the first interface isn't enough.
    pub network_config: Option<Vec<u8>>,
}

/// Who the machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaData {
    /// cloud-init does a first boot's work once for each of these: a new machine needs a new one, even where
    /// its disk is a copy of another's.
    pub instance_id: String,
    /// The host name. User-data's own `hostname` goes before it.
    pub local_hostname: String,
}

/// Why there is no seed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// cloud-init would take the machine for one that has booted already.
    #[error("the seed of {hostname} has no instance-id; give each machine one that no other ever had")]
    NoInstanceId {
        /// The machine.
        hostname: String,
    },
    /// Linux would not take the name.
    #[error(
        "{hostname:?} can't be a machine's host name; use letters, digits and hyphens, in parts between dots, at \
         most {LONGEST_NAME} letters in all"
    )]
    HostName {
        /// The name.
        hostname: String,
    },
    /// More than a first boot can want.
    #[error(
        "the seed of {hostname} would hold {bytes} bytes, more than the {LARGEST} that are allowed; make its files smaller"
    )]
    TooLarge {
        /// The machine.
        hostname: String,
        /// What it would hold.
        bytes: usize,
    },
    /// The file system could not be written.
    #[error("the seed of {hostname} could not be written: {source}")]
    Volume {
        /// The machine.
        hostname: String,
        /// What went wrong.
        source: std::io::Error,
    },
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed")
            .field("user_data", &format_args!("{} bytes", self.user_data.len()))
            .field("meta_data", &self.meta_data)
            .field("network_config", &self.network_config.as_ref().map(Vec::len))
            .finish()
    }
}

impl MetaData {
    /// The file `meta-data`. JSON is YAML too, and leaves nothing to quote.
    fn document(&self) -> String {
        let text = json!({"instance-id": self.instance_id, "local-hostname": self.local_hostname});
        format!("{text:#}\n")
    }
}

impl Seed {
    /// The bytes of the whole volume, a multiple of 512 and without a partition table.
    ///
    /// # Errors
    /// When the machine has no instance-id or a name that can't be, or when the content is too large.
    pub fn image(&self) -> Result<Vec<u8>, SeedError> {
        let hostname = self.meta_data.local_hostname.clone();
        if self.meta_data.instance_id.trim().is_empty() {
            return Err(SeedError::NoInstanceId { hostname });
        }
        if !is_host_name(&hostname) {
            return Err(SeedError::HostName { hostname });
        }
        let meta_data = self.meta_data.document().into_bytes();
        let mut files = vec![("meta-data", &meta_data), ("user-data", &self.user_data)];
        files.extend(self.network_config.as_ref().map(|network| ("network-config", network)));
        let bytes = files.iter().map(|(_, content)| content.len()).sum();
        if bytes > LARGEST {
            return Err(SeedError::TooLarge { hostname, bytes });
        }
        let size = (bytes + OVERHEAD).next_multiple_of(STEP).max(SMALLEST);
        written(size, &files).map_err(|source| SeedError::Volume { hostname, source })
    }
}

fn written(size: usize, files: &[(&str, &Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut image = vec![0; size];
    let format = FormatVolumeOptions::new().volume_label(LABEL).volume_id(SERIAL);
    fatfs::format_volume(Cursor::new(&mut image), format)?;
    let options = FsOptions::new().time_provider(&NO_TIME).update_accessed_date(false);
    let volume = FileSystem::new(Cursor::new(&mut image), options)?;
    for (name, content) in files {
        let mut file = volume.root_dir().create_file(name)?;
        file.write_all(content)?;
        file.flush()?;
    }
    volume.unmount()?;
    Ok(image)
}

/// The first instant that FAT knows, for every file.
#[derive(Debug)]
struct NoTime;

static NO_TIME: NoTime = NoTime;

impl TimeProvider for NoTime {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// A name as RFC 1123 has it.
fn is_host_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.len() <= LONGEST_NAME && name.split('.').all(part)
}
