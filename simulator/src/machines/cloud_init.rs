//! User-data of the `#cloud-config` kind, as far as machines of a cluster use it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A file that a first boot writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteFile {
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
}

/// What a first boot does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CloudConfig {
    pub(crate) write_files: Vec<WriteFile>,
    pub(crate) runcmd: Vec<Vec<String>>,
}

/// Why user-data was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CloudConfigError {
    #[error("user-data does not start with #cloud-config")]
    NotCloudConfig,
    #[error("user-data is not YAML: {0}")]
    Yaml(String),
    #[error("write_files: {0}")]
    File(String),
}

impl CloudConfig {
    /// Reads user-data; empty user-data does nothing.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, CloudConfigError> {
        let text = String::from_utf8_lossy(bytes);
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        if !text.trim_start().starts_with("#cloud-config") {
            return Err(CloudConfigError::NotCloudConfig);
        }
        let document: Value =
            serde_saphyr::from_str(&text).map_err(|error| CloudConfigError::Yaml(error.to_string()))?;
        let write_files = document["write_files"].as_array().into_iter().flatten();
        let runcmd = document["runcmd"].as_array().into_iter().flatten();
        Ok(Self {
            write_files: write_files.map(write_file).collect::<Result<_, _>>()?,
            runcmd: runcmd.filter_map(command).collect(),
        })
    }
}

fn write_file(entry: &Value) -> Result<WriteFile, CloudConfigError> {
    let path = entry["path"].as_str().ok_or_else(|| CloudConfigError::File("an entry has no path".into()))?;
    let content = entry["content"].as_str().unwrap_or_default();
    let content = match entry["encoding"].as_str().unwrap_or("text/plain") {
        "b64" | "base64" => STANDARD
            .decode(content.split_whitespace().collect::<String>())
            .map_err(|error| CloudConfigError::File(format!("{path}: {error}")))?,
        "text/plain" | "" => content.as_bytes().to_vec(),
        other => return Err(CloudConfigError::File(format!("{path}: unknown encoding {other}"))),
    };
    let mode = match &entry["permissions"] {
        Value::String(text) => u32::from_str_radix(text.trim_start_matches("0o"), 8).unwrap_or(0o644),
        Value::Number(number) => number.as_u64().map_or(0o644, |mode| mode as u32),
        _ => 0o644,
    };
    Ok(WriteFile { path: path.to_owned(), content, mode })
}

fn command(entry: &Value) -> Option<Vec<String>> {
    match entry {
        Value::String(line) => Some(vec!["sh".into(), "-c".into(), line.clone()]),
        Value::Array(words) => Some(
            words.iter().map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_commands_are_read() {
        let data = b"#cloud-config\nwrite_files:\n- path: /etc/a\n  encoding: b64\n  content: aGk=\n  permissions: '0600'\nruncmd:\n- kubeadm join --config /etc/a\n- [systemctl, start, kubelet]\n";
        let config = CloudConfig::parse(data).unwrap();
        assert_eq!(config.write_files[0].content, b"hi");
        assert_eq!(config.write_files[0].mode, 0o600);
        assert_eq!(config.runcmd[0][2], "kubeadm join --config /etc/a");
        assert_eq!(config.runcmd[1], ["systemctl", "start", "kubelet"]);
        assert!(CloudConfig::parse(b"#!/bin/sh").is_err());
    }
}
