//! Where plugins lie: beside the program itself, then on PATH.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How a plugin's file name begins.
pub const PREFIX: &str = "replank-provider-";

/// A plugin that was not found.
#[derive(Debug, thiserror::Error)]
#[error("there is no provider {name:?}: no executable {PREFIX}{name} in {searched}", searched = shown(.searched))]
pub struct NotFound {
    /// The name that was asked for.
    pub name: String,
    /// The folders that were searched.
    pub searched: Vec<PathBuf>,
}

fn shown(folders: &[PathBuf]) -> String {
    folders.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Folders to search, in order; the first match wins.
#[derive(Clone, Debug)]
pub struct SearchPath(Vec<PathBuf>);

impl SearchPath {
    /// The folder of the running program first, then the folders of `path` (the PATH variable).
    pub fn new(program: Option<&Path>, path: Option<&std::ffi::OsStr>) -> Self {
        let beside = program.and_then(Path::parent).map(Path::to_path_buf);
        let on_path = path.map(|p| std::env::split_paths(p).collect::<Vec<_>>()).unwrap_or_default();
        Self(beside.into_iter().chain(on_path).collect())
    }

    /// A plugin by name, or by the path of its executable when the name has a separator in it.
    ///
    /// # Errors
    /// When there is no such executable.
    pub fn find(&self, name: &str) -> Result<PathBuf, NotFound> {
        if name.contains(std::path::MAIN_SEPARATOR) {
            let path = PathBuf::from(name);
            let folder = path.parent().map(Path::to_path_buf).into_iter().collect();
            return if executable(&path) {
                Ok(path)
            } else {
                Err(NotFound { name: name.into(), searched: folder })
            };
        }
        let file = format!("{PREFIX}{name}");
        let found = self.0.iter().map(|folder| folder.join(&file)).find(|path| executable(path));
        found.ok_or_else(|| NotFound { name: name.into(), searched: self.0.clone() })
    }

    /// Every plugin by name.
    pub fn all(&self) -> BTreeMap<String, PathBuf> {
        let mut found = BTreeMap::new();
        for folder in &self.0 {
            let Ok(entries) = std::fs::read_dir(folder) else { continue };
            for path in entries.flatten().map(|e| e.path()) {
                let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_prefix(PREFIX));
                if let Some(name) = name.filter(|n| !n.is_empty() && !n.contains('.'))
                    && executable(&path)
                {
                    found.entry(name.to_owned()).or_insert(path);
                }
            }
        }
        found
    }
}

#[cfg(unix)]
fn executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn executable(path: &Path) -> bool {
    path.is_file()
}
