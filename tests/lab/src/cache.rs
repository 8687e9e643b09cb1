//! Where the built programs and images lie: outside of `target`, so that they survive `cargo clean`.

use crate::error::{LabError, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The environment variable that names another place.
pub const CACHE: &str = "REPLANK_LAB_CACHE";

/// How many hex digits of a digest name a folder.
const KEY_DIGITS: usize = 16;

/// The folder with everything that is built once.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// Held while something is built, so that two builders do not get into each other's way.
#[derive(Debug)]
pub struct Building(#[expect(dead_code, reason = "closing the file gives the lock back")] File);

impl Cache {
    /// `REPLANK_LAB_CACHE`, or the user's cache folder.
    ///
    /// # Errors
    /// When neither it nor a home folder is known.
    pub fn find() -> Result<Self> {
        let named = std::env::var_os(CACHE).map(PathBuf::from);
        let xdg = || std::env::var_os("XDG_CACHE_HOME").map(|p| PathBuf::from(p).join("replank/lab"));
        let home = || std::env::var_os("HOME").map(|p| PathBuf::from(p).join(".cache/replank/lab"));
        let root = named.or_else(xdg).or_else(home).ok_or_else(|| {
            LabError::Missing(vec![format!("there is no home folder: set {CACHE} to a folder for the lab")])
        })?;
        Ok(Self { root })
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Waits until nobody else builds.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn lock(&self) -> Result<Building> {
        std::fs::create_dir_all(&self.root).map_err(LabError::file(&self.root))?;
        let path = self.root.join("lock");
        let file = File::create(&path).map_err(LabError::file(&path))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| LabError::File { path: path.clone(), source: e.into() })?;
        Ok(Building(file))
    }

    /// A finished folder, made by `build` in a place of its own if it is not there.
    ///
    /// # Errors
    /// When `build` fails; nothing half built stays under the final name.
    pub fn folder(&self, name: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let finished = self.root.join(name);
        if finished.is_dir() {
            return Ok(finished);
        }
        let partial = self.root.join(format!(".{name}.partial"));
        if partial.exists() {
            std::fs::remove_dir_all(&partial).map_err(LabError::file(&partial))?;
        }
        std::fs::create_dir_all(&partial).map_err(LabError::file(&partial))?;
        build(&partial)?;
        std::fs::rename(&partial, &finished).map_err(LabError::file(&finished))?;
        Ok(finished)
    }
}

/// A key from everything that decides what is built.
#[derive(Default)]
pub struct Key(Sha256);

impl Key {
    /// Takes in a part; its length keeps two parts from being one.
    pub fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// The files of a folder, by name and content.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn add_folder(&mut self, folder: &Path) -> Result<()> {
        let entries = std::fs::read_dir(folder).map_err(LabError::file(folder))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                self.add_folder(&path)?;
            } else {
                self.add(path.file_name().unwrap_or_default().as_encoded_bytes());
                self.add(&std::fs::read(&path).map_err(LabError::file(&path))?);
            }
        }
        Ok(())
    }

    /// As part of a folder's name.
    pub fn finish(self) -> String {
        let mut digits = hex::encode(self.0.finalize());
        digits.truncate(KEY_DIGITS);
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_to_build_is_built_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { root: folder.path().to_owned() };
        let failed = cache.folder("programs", |at| {
            std::fs::write(at.join("half"), "").unwrap();
            Err(LabError::UserData("no".into()))
        });
        assert!(failed.is_err());
        let built = cache.folder("programs", |at| {
            assert!(!at.join("half").exists(), "an earlier try leaves nothing");
            std::fs::write(at.join("whole"), "").map_err(LabError::file(at))
        });
        assert!(built.unwrap().join("whole").exists());
        cache.folder("programs", |_| panic!("it is there")).unwrap();
    }

    #[test]
    fn a_key_changes_with_any_file_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let key = || {
            let mut key = Key::default();
            key.add_folder(folder.path()).unwrap();
            key.finish()
        };
        std::fs::create_dir(folder.path().join("inner")).unwrap();
        std::fs::write(folder.path().join("inner/go.mod"), "one").unwrap();
        let one = key();
        std::fs::write(folder.path().join("inner/go.mod"), "two").unwrap();
        assert_ne!(one, key());
    }
}
