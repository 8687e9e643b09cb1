//! What the lab runs, built once into the cache.
//!
//! - [`programs`]: from the Go modules in `modules`, which pin upstream's releases.
//! - [`images`]: container images from those programs and from installed packages.
//! - [`archive`]: the file format of images.
//! - [`store`]: what a machine's containerd makes of those.
//! - [`vm`]: an image for virtual machines, with the same programs and images in it.
//! - [`report`]: what a builder tells on the way.

pub mod archive;
pub mod images;
pub mod programs;
pub mod report;
pub(crate) mod store;
pub mod vm;

use crate::cache::Cache;
use crate::error::Result;
use crate::needs;
use report::Progress;
use std::path::PathBuf;

/// Everything that a lab is made of.
#[derive(Clone, Debug)]
pub struct Built {
    /// Every program.
    pub bin: PathBuf,
    /// The images, one archive for all machines and one for control planes.
    pub images: PathBuf,
}

/// Builds what is missing.
///
/// # Errors
/// When the machine lacks something, or something can't be built.
pub fn build(progress: &mut Progress<'_>) -> Result<Built> {
    needs::packages(progress)?;
    needs::go()?;
    let cache = Cache::find()?;
    let _building = cache.lock()?;
    let (bin, key) = programs::build(&cache, progress)?;
    let images = images::build(&cache, &bin, &key, progress)?;
    Ok(Built { bin, images })
}
