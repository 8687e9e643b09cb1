//! Which libvirt, which image, and what a new machine is like.

use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// The provider's settings in the configuration file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Which libvirt: any URI that `virsh -c` takes.
    #[serde(default = "system")]
    pub uri: String,
    /// The storage pool of the image, and of everything that is made: one whose volumes are files.
    #[serde(default = "default_pool")]
    pub pool: String,
    /// The volume that new machines' disks are laid over. It is only read, and must stay as it is.
    pub image: String,
    /// Its format.
    #[serde(default)]
    pub image_format: ImageFormat,
    /// A new disk's size in GiB: the image's own if absent.
    #[serde(default, rename = "diskGiB")]
    pub disk_gib: Option<u64>,
    /// How many processors: as many as the old machine has if absent.
    #[serde(default)]
    pub vcpus: Option<u32>,
    /// A processor model of libvirt's, for machines that shall be alike on all hosts: everything that the host has if
    /// absent.
    #[serde(default)]
    pub processor: Option<String>,
    /// Memory in MiB: as much as the old machine has if absent.
    #[serde(default, rename = "memoryMiB")]
    pub memory_mib: Option<u64>,
    /// The networks of a new machine, by libvirt's names: those that the old machine is on if empty.
    #[serde(default)]
    pub networks: Vec<String>,
    /// How it starts.
    #[serde(default)]
    pub firmware: Firmware,
    /// A kernel on libvirt's host, for an image without a boot loader.
    #[serde(default)]
    pub kernel: Option<Kernel>,
    /// Whether the processor helps.
    #[serde(default)]
    pub acceleration: Acceleration,
    /// How long the image may take to start with KVM when that is tried, in seconds.
    #[serde(default = "default_trial")]
    pub trial_seconds: u64,
    /// A file with a domain's XML that new machines are made from: name, UUID, system disk and seed are put in, and
    /// everything else stays as it is. `vcpus`, `processor`, `memoryMiB`, `networks`, `firmware`, `kernel` and `acceleration` have
    /// no effect then.
    #[serde(default)]
    pub template: Option<PathBuf>,
    /// How long a guest may take to shut down before it is switched off, in seconds.
    #[serde(default = "default_grace")]
    pub grace_seconds: u64,
    /// Where this computer remembers which effects it has had: `~/.local/state/replank/libvirt` if absent.
    #[serde(default)]
    pub state: Option<PathBuf>,
}

/// What an image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    /// qcow2.
    #[default]
    Qcow2,
    /// The bytes of a disk.
    Raw,
}

/// How a machine starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// A BIOS.
    #[default]
    Bios,
    /// UEFI, with variables of its own.
    Efi,
}

/// A kernel that is started without a boot loader.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kernel {
    /// Its file on libvirt's host.
    pub path: String,
    /// Its initial file system.
    #[serde(default)]
    pub initrd: Option<String>,
    /// Its command line.
    #[serde(default)]
    pub arguments: String,
}

/// Whether the processor helps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Acceleration {
    /// KVM where the image starts with it, which is tried once.
    #[default]
    Auto,
    /// KVM: nearly as fast as the host.
    Kvm,
    /// QEMU's emulation: works everywhere, and is many times slower.
    Emulated,
}

fn system() -> String {
    "qemu:///system".into()
}

fn default_pool() -> String {
    "default".into()
}

fn default_trial() -> u64 {
    120
}

fn default_grace() -> u64 {
    120
}

impl ImageFormat {
    /// As libvirt names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}
