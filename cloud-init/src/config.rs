//! `#cloud-config` documents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fmt;

/// What cloud-init does at a machine's first boot. It may hold secrets: it is no secret's place to be
/// printed, so `Debug` shows paths only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CloudConfig {
    /// The machine's host name, if user-data shall set it.
    pub hostname: Option<String>,
    /// Files that are written before any command.
    pub write_files: Vec<WriteFile>,
    /// Commands, in order, each as its words: no shell takes part.
    pub runcmd: Vec<Vec<String>>,
}

/// A file that the first boot writes.
#[derive(Clone, PartialEq, Eq)]
pub struct WriteFile {
    /// Its absolute path.
    pub path: String,
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

impl fmt::Debug for WriteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:04o}, {} bytes)", self.path, self.mode, self.content.len())
    }
}

impl fmt::Debug for CloudConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudConfig")
            .field("hostname", &self.hostname)
            .field("write_files", &self.write_files)
            .field("runcmd", &self.runcmd)
            .finish()
    }
}

impl WriteFile {
    /// A text file.
    pub fn text(path: impl Into<String>, content: impl Into<String>, mode: u32) -> Self {
        Self { path: path.into(), content: content.into().into_bytes(), mode }
    }

    /// Text is shown as text, anything else as base64.
    fn document(&self) -> Value {
        let permissions = format!("{:04o}", self.mode);
        match std::str::from_utf8(&self.content) {
            Ok(text) => json!({
                "path": self.path, "permissions": permissions, "owner": "root:root", "content": text,
            }),
            Err(_) => json!({
                "path": self.path, "permissions": permissions, "owner": "root:root",
                "encoding": "b64", "content": STANDARD.encode(&self.content),
            }),
        }
    }
}

impl CloudConfig {
    /// The document.
    pub(crate) fn document(&self) -> Value {
        let mut document = json!({});
        if let Some(hostname) = &self.hostname {
            document["hostname"] = json!(hostname);
            document["preserve_hostname"] = json!(false);
        }
        if !self.write_files.is_empty() {
            document["write_files"] = self.write_files.iter().map(WriteFile::document).collect();
        }
        if !self.runcmd.is_empty() {
            document["runcmd"] = json!(self.runcmd);
        }
        document
    }

    /// The finished user-data. The document is JSON, which is YAML too, so that no reader has to
    /// guess whether `0600` is a number or where a line ends.
    pub fn render(&self) -> String {
        format!("#cloud-config\n{:#}\n", self.document())
    }
}
