//! What a machine's containerd keeps once it has taken in the images: made once, so that a machine begins with it.
//!
//! To take them in costs a machine nine seconds of a processor, and a migration makes a dozen machines.

use crate::error::{LabError, Result};
use crate::machine::life;
use crate::machine::record::Role;
use crate::run::{command, succeed};
use std::path::{Path, PathBuf};

pub(super) const SCRIPT: &str = include_str!("store.sh");

/// Files that containerd writes in place; the others are never changed once they are there.
const WRITTEN: [&str; 2] =
    ["io.containerd.metadata.v1.bolt/meta.db", "io.containerd.snapshotter.v1.overlayfs/metadata.db"];

/// Where the store for machines of this role lies among the images.
fn folder(images: &Path, role: Role) -> PathBuf {
    images.join(match role {
        Role::Worker => "worker",
        Role::ControlPlane => "control-plane",
    })
}

/// Makes the store for machines of a role.
///
/// # Errors
/// When containerd does not take the archives in.
pub(super) fn make(images: &Path, role: Role, archives: &[&str]) -> Result<()> {
    let mut make = command("unshare", &["--mount", "bash", "-c", SCRIPT, "store"]);
    make.arg(folder(images, role)).args(archives.iter().map(|archive| images.join(archive)));
    succeed("taking in the images", &mut make).map(drop)
}

/// Gives a machine's containerd its store. Where both are on one file system, it shares the cache's files.
///
/// # Errors
/// When it can't be copied.
pub(crate) fn give(images: &Path, role: Role, to: &Path) -> Result<()> {
    let from = folder(images, role);
    let mut link = command("cp", &["--archive", "--link", "--no-target-directory"]);
    if succeed(&format!("sharing {}", from.display()), link.arg(&from).arg(to)).is_err() {
        return life::copy(&from, to);
    }
    for name in WRITTEN {
        let own = to.join(name);
        std::fs::remove_file(&own).map_err(LabError::file(&own))?;
        std::fs::copy(from.join(name), &own).map_err(LabError::file(&own))?;
    }
    Ok(())
}
