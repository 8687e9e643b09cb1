//! A lab's folder: everything of it lies there and goes with it.

use crate::error::{LabError, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The environment variable that names the folder.
pub const FOLDER: &str = "REPLANK_LAB";

/// Where a developer's lab lies without it.
const DEFAULT: &str = "/var/lib/replank-lab";

/// The folder of one lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(PathBuf);

impl Place {
    /// A folder of the caller's choice.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// `REPLANK_LAB`, or the one place for a developer's lab.
    pub fn find() -> Self {
        Self(std::env::var_os(FOLDER).map_or_else(|| PathBuf::from(DEFAULT), PathBuf::from))
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// The folder of a machine.
    pub fn machine(&self, name: &str) -> PathBuf {
        self.0.join("machines").join(name)
    }

    /// The name of the lab's control group: two labs on one machine must not share one.
    pub fn cgroup(&self) -> String {
        let digest = hex::encode(Sha256::digest(self.0.as_os_str().as_encoded_bytes()));
        format!("replank-lab-{}", &digest[..8])
    }
}

/// Reads a JSON document; none if there is no such file.
///
/// # Errors
/// When it can't be read or is something else.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LabError::file(path)(error)),
    };
    let content = |e: serde_json::Error| LabError::Content { path: path.to_owned(), why: e.to_string() };
    serde_json::from_slice(&bytes).map(Some).map_err(content)
}

/// Replaces a JSON document as a whole.
///
/// # Errors
/// When it can't be written.
pub fn write<T: Serialize>(path: &Path, document: &T) -> Result<()> {
    let content = |e: serde_json::Error| LabError::Content { path: path.to_owned(), why: e.to_string() };
    let bytes = serde_json::to_vec_pretty(document).map_err(content)?;
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).map_err(LabError::file(&new))?;
    std::fs::rename(&new, path).map_err(LabError::file(path))
}
