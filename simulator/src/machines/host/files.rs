//! A host's filesystem: paths to contents and modes, with change events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// One regular file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// The bytes.
    pub content: Arc<[u8]>,
    /// Permission bits, for example `0o600`.
    pub mode: u32,
}

impl FileEntry {
    /// The content as text, damaged sequences replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

/// Why a path could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing is there.
    #[error("{0}: No such file or directory")]
    NotFound(String),
    /// A directory is there.
    #[error("{0}: Is a directory")]
    IsDirectory(String),
    /// A file is there where a directory would be needed.
    #[error("{0}: Not a directory")]
    NotDirectory(String),
}

#[derive(Default)]
struct Tree {
    files: BTreeMap<String, FileEntry>,
    directories: BTreeSet<String>,
    watchers: Vec<(String, watch::Sender<u64>)>,
}

/// A filesystem that its machine and the machine's containers share. Clones see the same files.
#[derive(Clone, Default)]
pub struct HostFiles(Arc<Mutex<Tree>>);

/// `path` made absolute, without `.`, `..`, doubled or trailing slashes.
pub(crate) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').skip(1).map(|(at, _)| &path[..at])
}

fn within(path: &str, directory: &str) -> bool {
    directory == "/"
        || path == directory
        || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

impl HostFiles {
    /// An empty filesystem.
    pub fn new() -> Self {
        Self::default()
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file at a path.
    pub fn read(&self, path: &str) -> Option<FileEntry> {
        self.tree().files.get(&normal(path)).cloned()
    }

    /// The file at a path as text.
    pub fn read_text(&self, path: &str) -> Option<String> {
        self.read(path).map(|file| file.text())
    }

    /// Whether a file or directory is there.
    pub fn exists(&self, path: &str) -> bool {
        let path = normal(path);
        let tree = self.tree();
        path == "/" || tree.files.contains_key(&path) || tree.directories.contains(&path)
    }

    /// Whether a directory is there.
    pub fn is_directory(&self, path: &str) -> bool {
        let path = normal(path);
        path == "/" || self.tree().directories.contains(&path)
    }

    /// Puts a file in place at once, as a write beside it and a rename would; the directories
    /// above it are made.
    ///
    /// # Errors
    /// A directory is there, or a file where a directory is needed.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<(), PathError> {
        let path = normal(path);
        let mut tree = self.tree();
        if path == "/" || tree.directories.contains(&path) {
            return Err(PathError::IsDirectory(path));
        }
        tree.make_directories(parents(&path))?;
        let entry = FileEntry { content: content.as_ref().into(), mode };
        if tree.files.get(&path) != Some(&entry) {
            tree.files.insert(path.clone(), entry);
            tree.changed(&path);
        }
        Ok(())
    }

    /// Makes a directory and those above it.
    ///
    /// # Errors
    /// A file is in the way.
    pub fn make_directory(&self, path: &str) -> Result<(), PathError> {
        let path = normal(path);
        let mut tree = self.tree();
        let all: Vec<String> = parents(&path).map(str::to_owned).collect();
        tree.make_directories(all.iter().map(String::as_str).chain([path.as_str()]))
    }

    /// Removes a file, or a directory with all that is in it. `false` if nothing was there.
    pub fn remove(&self, path: &str) -> bool {
        let path = normal(path);
        let mut tree = self.tree();
        let files: Vec<String> = tree.files.keys().filter(|file| within(file, &path)).cloned().collect();
        let directories =
            tree.directories.iter().filter(|dir| within(dir, &path)).cloned().collect::<Vec<_>>();
        for directory in &directories {
            tree.directories.remove(directory);
        }
        for file in &files {
            tree.files.remove(file);
            tree.changed(file);
        }
        !files.is_empty() || !directories.is_empty()
    }

    /// Moves a file, replacing what is at the new place; into a directory if that is one.
    ///
    /// # Errors
    /// There is no such file.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), PathError> {
        let from = normal(from);
        let Some(file) = self.read(&from) else {
            return Err(PathError::NotFound(from));
        };
        let to = match self.is_directory(to) {
            true => format!("{}/{}", normal(to), from.rsplit('/').next().unwrap_or_default()),
            false => normal(to),
        };
        self.write(&to, &file.content, file.mode)?;
        if from != to {
            self.remove(&from);
        }
        Ok(())
    }

    /// The names in a directory, in order; directories without a mark.
    pub fn list(&self, directory: &str) -> Vec<String> {
        let directory = normal(directory);
        let prefix = if directory == "/" { directory } else { format!("{directory}/") };
        let tree = self.tree();
        let names: BTreeSet<String> = tree
            .files
            .range(prefix.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&prefix))
            .chain(tree.directories.range(prefix.clone()..).take_while(|path| path.starts_with(&prefix)))
            .filter_map(|path| path[prefix.len()..].split('/').next())
            .map(str::to_owned)
            .collect();
        names.into_iter().collect()
    }

    /// All files, for a snapshot or an inventory.
    pub fn contents(&self) -> BTreeMap<String, FileEntry> {
        self.tree().files.clone()
    }

    /// Makes the files exactly these, as restoring a disk does.
    pub fn replace_all(&self, files: BTreeMap<String, FileEntry>) {
        let mut tree = self.tree();
        tree.directories.clear();
        let paths: Vec<String> = files.keys().cloned().collect();
        for path in &paths {
            // A snapshot was a filesystem once, so nothing is in the way.
            let _ = tree.make_directories(parents(path));
        }
        tree.files = files;
        for (_, sender) in &tree.watchers {
            sender.send_modify(|generation| *generation += 1);
        }
    }

    /// Tells of changes at or below a path: the value grows with each.
    pub fn watch(&self, path: &str) -> watch::Receiver<u64> {
        let path = normal(path);
        let mut tree = self.tree();
        tree.watchers.retain(|(_, sender)| sender.receiver_count() > 0);
        let (sender, receiver) = watch::channel(0);
        tree.watchers.push((path, sender));
        receiver
    }
}

impl Tree {
    fn make_directories<'a>(&mut self, paths: impl Iterator<Item = &'a str>) -> Result<(), PathError> {
        for path in paths {
            if self.files.contains_key(path) {
                return Err(PathError::NotDirectory(path.to_owned()));
            }
            if !self.directories.contains(path) {
                self.directories.insert(path.to_owned());
            }
        }
        Ok(())
    }

    fn changed(&self, path: &str) {
        for (prefix, sender) in &self.watchers {
            if within(path, prefix) {
                sender.send_modify(|generation| *generation += 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_appear_whole_and_are_told_of() {
        let files = HostFiles::new();
        let mut seen = files.watch("/etc/cni/net.d");
        files.write("/etc/cni/net.d/10-a.conf", "one", 0o644).unwrap();
        assert!(seen.has_changed().unwrap());
        seen.mark_unchanged();
        files.write("/etc/other", "x", 0o600).unwrap();
        assert!(!seen.has_changed().unwrap());
        files.rename("/etc/other", "/etc/cni/net.d/").unwrap();
        assert_eq!(files.list("/etc/cni/net.d"), ["10-a.conf", "other"]);
        assert_eq!(files.list("/etc"), ["cni"]);
        assert!(files.remove("/etc/cni"));
        assert!(!files.exists("/etc/cni/net.d/10-a.conf"));
        assert!(seen.has_changed().unwrap());
    }

    #[test]
    fn a_path_is_made_plain() {
        assert_eq!(normal("run//flannel/./x/../subnet.env"), "/run/flannel/subnet.env");
        assert_eq!(normal("/"), "/");
    }
}
