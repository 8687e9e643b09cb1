//! The image of a virtual machine that can become a node, for providers whose machines are virtual.
//!
//! Debian as it is packaged, with the lab's programs and images in it: what docs/node-image.md lists.

use super::report::Progress;
use super::{Built, images};
use crate::cache::{Cache, Key};
use crate::error::{LabError, Result};
use crate::machine::network::GATEWAY;
use crate::needs;
use crate::run::{command, succeed};
use std::path::{Path, PathBuf};

/// What a virtual machine is started from. Its image has no boot loader.
#[derive(Clone, Debug)]
pub struct Image {
    /// The disk, qcow2.
    pub disk: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// Its initial file system.
    pub initrd: PathBuf,
}

/// What the kernel is told.
pub const KERNEL_ARGUMENTS: &str = "root=LABEL=root console=ttyS0 quiet mitigations=off";

/// Where the scripts lie.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vm").join(name)
}

/// Makes the image, if it is not there.
///
/// # Errors
/// When this machine lacks what it takes, which is [`LabError::Missing`], or the image can't be made.
pub fn build(built: &Built, progress: &mut Progress<'_>) -> Result<Image> {
    needs::virtual_machines(progress)?;
    let cache = Cache::find()?;
    let _building = cache.lock()?;
    let system = system(&cache, progress)?;
    let mut key = Key::default();
    for input in [&system, &built.bin, &built.images] {
        // Each folder's name holds the key of what is in it.
        key.add(input.file_name().unwrap_or_default().as_encoded_bytes());
    }
    let (script, path) = read("image.sh")?;
    key.add(script.as_bytes());
    for told in [images::PAUSE, &GATEWAY.to_string()] {
        key.add(told.as_bytes());
    }
    let folder = cache.folder(&format!("vm-{}", key.finish()), |into| {
        progress.say("making the image for virtual machines");
        let mut make = command("unshare", &["--mount", "bash"]);
        make.arg(path).arg(system.join("system.tar")).arg(&built.bin);
        make.arg(built.images.join(images::EVERYWHERE)).arg(into);
        make.env("SANDBOX", images::PAUSE).env("NAMESERVER", GATEWAY.to_string());
        succeed("making the image for virtual machines", &mut make).map(drop)
    })?;
    let file = |name: &str| folder.join(name);
    Ok(Image { disk: file("image.qcow2"), kernel: file("vmlinuz"), initrd: file("initrd.img") })
}

/// Debian, which changes far less often than what is put into it.
fn system(cache: &Cache, progress: &mut Progress<'_>) -> Result<PathBuf> {
    let (script, path) = read("system.sh")?;
    let mut key = Key::default();
    key.add(script.as_bytes());
    cache.folder(&format!("vm-system-{}", key.finish()), |into| {
        progress.say("installing Debian into the image for virtual machines");
        let mut make = command("sh", &[]);
        make.arg(path).arg(into.join("system.tar"));
        succeed("installing Debian into an image", &mut make).map(drop)
    })
}

fn read(name: &str) -> Result<(String, PathBuf)> {
    let path = script(name);
    let text = std::fs::read_to_string(&path).map_err(LabError::file(&path))?;
    Ok((text, path))
}
