//! Image archives as `docker save` writes them and containerd reads them.

use crate::error::{LabError, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// What a layer holds, by its path in the image.
#[derive(Clone, Debug, Default)]
pub struct Layer(BTreeMap<String, Content>);

#[derive(Clone, Debug)]
enum Content {
    File(PathBuf),
    Link(String),
    Folder { mode: u32 },
}

/// An image: its names, what it starts and its layers, the lowest first.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its names with tags.
    pub names: Vec<String>,
    /// What a container starts.
    pub entrypoint: Vec<String>,
    /// Whom it runs as, by number.
    pub user: u32,
    /// Its layers. One that several images share is stored once.
    pub layers: Vec<Layer>,
}

impl Layer {
    /// A file of this machine's.
    pub fn file(mut self, source: &Path, path: &str) -> Self {
        self.parents(path);
        self.0.insert(path.trim_start_matches('/').to_owned(), Content::File(source.to_owned()));
        self
    }

    /// A symbolic link.
    pub fn link(mut self, target: &str, path: &str) -> Self {
        self.parents(path);
        self.0.insert(path.trim_start_matches('/').to_owned(), Content::Link(target.to_owned()));
        self
    }

    /// An empty folder.
    pub fn folder(mut self, path: &str, mode: u32) -> Self {
        self.parents(path);
        self.0.insert(path.trim_start_matches('/').to_owned(), Content::Folder { mode });
        self
    }

    fn parents(&mut self, path: &str) {
        let path = path.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert(Content::Folder { mode: 0o755 });
        }
    }

    /// The layer as a tar file; the same content gives the same bytes.
    fn tar(&self) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for (path, content) in &self.0 {
            let failed = |source| LabError::File { path: PathBuf::from(path), source };
            let mut header = Header::new_gnu();
            header.set_mtime(0);
            match content {
                Content::File(source) => {
                    let file = File::open(source).map_err(LabError::file(source))?;
                    header.set_size(file.metadata().map_err(LabError::file(source))?.len());
                    header.set_mode(0o755);
                    tar.append_data(&mut header, path, file).map_err(failed)?;
                }
                Content::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_size(0);
                    header.set_mode(0o777);
                    tar.append_link(&mut header, path, target).map_err(failed)?;
                }
                Content::Folder { mode } => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_size(0);
                    header.set_mode(*mode);
                    tar.append_data(&mut header, path, std::io::empty()).map_err(failed)?;
                }
            }
        }
        tar.into_inner().map_err(|source| LabError::File { path: PathBuf::from("layer.tar"), source })
    }
}

/// Writes images into one archive.
///
/// # Errors
/// When a file can't be read or the archive can't be written.
pub fn write(path: &Path, images: &[Image]) -> Result<()> {
    let failed = |source| LabError::File { path: path.to_owned(), source };
    let mut archive =
        Builder::new(std::io::BufWriter::new(File::create(path).map_err(LabError::file(path))?));
    let mut stored = BTreeSet::new();
    let mut manifest = Vec::new();
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_mtime(0);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes).map_err(failed)
    };
    for image in images {
        let mut digests = Vec::new();
        for layer in &image.layers {
            let bytes = layer.tar()?;
            let digest = hex::encode(Sha256::digest(&bytes));
            if stored.insert(digest.clone()) {
                add(&format!("{digest}/layer.tar"), &bytes)?;
            }
            digests.push(digest);
        }
        let configuration = configuration(image, &digests).to_string();
        let name = format!("{}.json", hex::encode(Sha256::digest(configuration.as_bytes())));
        add(&name, configuration.as_bytes())?;
        let layers: Vec<String> = digests.iter().map(|d| format!("{d}/layer.tar")).collect();
        manifest.push(json!({"Config": name, "RepoTags": image.names, "Layers": layers}));
    }
    add("manifest.json", json!(manifest).to_string().as_bytes())?;
    archive.finish().map_err(failed)
}

fn configuration(image: &Image, digests: &[String]) -> Value {
    let ids: Vec<String> = digests.iter().map(|d| format!("sha256:{d}")).collect();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Entrypoint": image.entrypoint,
            "User": image.user.to_string(),
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": ids},
        "history": digests.iter().map(|_| json!({})).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_two_images_share_is_stored_once() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, "bytes").unwrap();
        let shared = Layer::default().file(&program, "/usr/bin/program").link("program", "/usr/bin/other");
        let image = |name: &str| Image {
            names: vec![name.into()],
            entrypoint: vec!["/usr/bin/program".into()],
            user: 0,
            layers: vec![shared.clone(), Layer::default().folder(&format!("/{name}"), 0o755)],
        };
        let path = folder.path().join("images.tar");
        write(&path, &[image("one"), image("two")]).unwrap();
        let mut archive = tar::Archive::new(File::open(&path).unwrap());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect();
        let layers: BTreeSet<&String> = names.iter().filter(|n| n.ends_with("layer.tar")).collect();
        assert_eq!(layers.len(), 3, "{names:?}");
        assert_eq!(names.iter().filter(|n| n.ends_with("layer.tar")).count(), 3);
        assert_eq!(names.last().map(String::as_str), Some("manifest.json"));
    }
}
