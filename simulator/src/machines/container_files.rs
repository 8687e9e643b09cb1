//! Files as a container sees them: its own root, and its mounts over it.

use std::collections::BTreeMap;

use super::host::{FileEntry, HostFiles, PathError};

/// Where a mounted path's files are.
#[derive(Clone)]
struct Mount {
    /// Where it appears in the container.
    at: String,
    /// The filesystem behind it.
    files: HostFiles,
    /// The path there that appears at `at`.
    source: String,
    read_only: bool,
}

/// Reads and writes by path inside a container; mounts lead to the host's files, to ConfigMaps,
/// Secrets and projected tokens, or to the pod's scratch volumes.
#[derive(Clone)]
pub struct ContainerFiles {
    root: HostFiles,
    /// Longest path first.
    mounts: Vec<Mount>,
}

/// Why a container could not use a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerFileError {
    /// The filesystem refused.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The mount is read-only.
    #[error("{0}: Read-only file system")]
    ReadOnly(String),
}

impl Default for ContainerFiles {
    fn default() -> Self {
        Self { root: HostFiles::new(), mounts: Vec::new() }
    }
}

fn plain(path: &str) -> String {
    super::host::normal_path(path)
}

impl ContainerFiles {
    /// A container without mounts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Mounts `source` of a filesystem at a path of the container.
    pub fn mount(&mut self, at: &str, files: HostFiles, source: &str, read_only: bool) {
        self.mounts.push(Mount { at: plain(at), files, source: plain(source), read_only });
        self.mounts.sort_by(|a, b| b.at.len().cmp(&a.at.len()).then_with(|| a.at.cmp(&b.at)));
    }

    /// The filesystem, path and read-only mark behind a path of the container.
    fn resolve(&self, path: &str) -> (&HostFiles, String, bool) {
        let path = plain(path);
        for mount in &self.mounts {
            let rest = if mount.at == "/" { Some(path.as_str()) } else { path.strip_prefix(&mount.at) };
            match rest {
                Some("") => return (&mount.files, mount.source.clone(), mount.read_only),
                Some(rest) if rest.starts_with('/') => {
                    let source = if mount.source == "/" { "" } else { &mount.source };
                    return (&mount.files, format!("{source}{rest}"), mount.read_only);
                }
                _ => {}
            }
        }
        (&self.root, path, false)
    }

    /// The bytes at a path.
    pub fn read(&self, path: &str) -> Option<FileEntry> {
        let (files, path, _) = self.resolve(path);
        files.read(&path)
    }

    /// The text at a path.
    pub fn read_text(&self, path: &str) -> Option<String> {
        self.read(path).map(|file| file.text())
    }

    /// Writes a file at once, directories above it included.
    ///
    /// # Errors
    /// The mount is read-only, or something else is in the way.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<(), ContainerFileError> {
        let (files, source, read_only) = self.resolve(path);
        if read_only {
            return Err(ContainerFileError::ReadOnly(path.to_owned()));
        }
        files.write(&source, content, mode)?;
        Ok(())
    }

    /// Removes a file or directory; `false` if there was nothing, or the mount is read-only.
    pub fn remove(&self, path: &str) -> bool {
        let (files, path, read_only) = self.resolve(path);
        !read_only && files.remove(&path)
    }

    /// Names in a directory.
    pub fn list(&self, path: &str) -> Vec<String> {
        let (files, path, _) = self.resolve(path);
        files.list(&path)
    }

    /// Whether something is at a path.
    pub fn exists(&self, path: &str) -> bool {
        let (files, path, _) = self.resolve(path);
        files.exists(&path)
    }

    /// Tells of changes at or below a path.
    pub fn watch(&self, path: &str) -> tokio::sync::watch::Receiver<u64> {
        let (files, path, _) = self.resolve(path);
        files.watch(&path)
    }

    /// The host path behind a path of the container, if it is mounted; for messages.
    pub fn mounts(&self) -> BTreeMap<String, String> {
        self.mounts.iter().map(|mount| (mount.at.clone(), mount.source.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_wins() {
        let host = HostFiles::new();
        let config = HostFiles::new();
        config.write("/net-conf.json", "{}", 0o644).unwrap();
        let mut files = ContainerFiles::new();
        files.mount("/host", host.clone(), "/", false);
        files.mount("/host/etc/kube-flannel", config, "/", true);
        files.write("/host/run/flannel/subnet.env", "X=1", 0o644).unwrap();
        files.write("/tmp/own", "mine", 0o600).unwrap();
        assert_eq!(host.read_text("/run/flannel/subnet.env").as_deref(), Some("X=1"));
        assert_eq!(files.read_text("/host/etc/kube-flannel/net-conf.json").as_deref(), Some("{}"));
        assert!(files.write("/host/etc/kube-flannel/x", "", 0o644).is_err());
        assert!(!host.exists("/tmp/own"));
    }
}
