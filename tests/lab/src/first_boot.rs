//! What a machine's first boot does with its user-data: the part of `#cloud-config` that replank and the
//! lab write. Anything else is refused, so that nothing is left undone silently.

use crate::error::{LabError, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a machine finds its user-data.
pub const SEED: &str = "/var/lib/cloud/seed/user-data";

/// A `#cloud-config` document.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CloudConfig {
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default, rename = "preserve_hostname")]
    _preserve_hostname: Option<bool>,
    #[serde(default)]
    write_files: Vec<WriteFile>,
    #[serde(default)]
    runcmd: Vec<Words>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteFile {
    path: PathBuf,
    content: String,
    #[serde(default)]
    permissions: Option<String>,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    encoding: Option<Encoding>,
}

impl std::fmt::Debug for WriteFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    B64,
    Base64,
}

/// A command: its words, or a line for the shell.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Words {
    List(Vec<String>),
    Line(String),
}

/// Carries user-data out; `say` hears what is done, which never holds a file's content.
///
/// # Errors
/// When it is no `#cloud-config`, asks for something unknown, or a file can't be written. A command that
/// fails is told, and the next one runs: as cloud-init does it.
pub fn carry_out(user_data: &[u8], say: &mut dyn FnMut(&str)) -> Result<()> {
    let config = read(user_data)?;
    if let Some(hostname) = &config.hostname {
        let path = Path::new("/etc/hostname");
        std::fs::write(path, format!("{hostname}\n")).map_err(LabError::file(path))?;
        let _ = Command::new("hostname").arg(hostname).status();
    }
    for file in &config.write_files {
        say(&format!("writing {}", file.path.display()));
        file.write()?;
    }
    for words in &config.runcmd {
        let mut command = match words {
            Words::List(words) => match words.split_first() {
                Some((program, words)) => {
                    say(&format!("running {program} {}", words.join(" ")));
                    let mut command = Command::new(program);
                    command.args(words);
                    command
                }
                None => continue,
            },
            Words::Line(line) => {
                say(&format!("running {line}"));
                let mut command = Command::new("sh");
                command.args(["-c", line]);
                command
            }
        };
        match command.status() {
            Ok(status) if status.success() => {}
            Ok(status) => say(&format!("it ended with {status}")),
            Err(error) => say(&format!("it could not be started: {error}")),
        }
    }
    Ok(())
}

fn read(user_data: &[u8]) -> Result<CloudConfig> {
    let text = std::str::from_utf8(user_data).map_err(|_| LabError::UserData("it is not text".into()))?;
    if text.lines().next().map(str::trim_end) != Some("#cloud-config") {
        return Err(LabError::UserData("its first line is not #cloud-config".into()));
    }
    serde_saphyr::from_str(text).map_err(|error| LabError::UserData(error.to_string()))
}

impl WriteFile {
    fn write(&self) -> Result<()> {
        if self.owner.as_ref().is_some_and(|owner| owner != "root:root") {
            return Err(LabError::UserData(format!("{} shall not be root's", self.path.display())));
        }
        let content = match self.encoding {
            None => self.content.clone().into_bytes(),
            Some(Encoding::B64 | Encoding::Base64) => STANDARD
                .decode(self.content.trim())
                .map_err(|_| LabError::UserData(format!("{} is not base64", self.path.display())))?,
        };
        let mode = self.permissions.as_deref().map_or(Ok(0o644), |text| u32::from_str_radix(text, 8));
        let mode = mode.map_err(|_| {
            LabError::UserData(format!("the permissions of {} are no octal number", self.path.display()))
        })?;
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(LabError::file(folder))?;
        }
        std::fs::write(&self.path, content).map_err(LabError::file(&self.path))?;
        std::fs::set_permissions(&self.path, Permissions::from_mode(mode)).map_err(LabError::file(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_and_then_commands_run_even_after_one_failed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = serde_json::json!({
            "write_files": [
                {"path": path("a/text"), "content": "hello\n", "permissions": "0600", "owner": "root:root"},
                {"path": path("blob"), "content": "/wA=", "encoding": "b64"},
            ],
            "runcmd": [["false"], ["cp", path("a/text"), path("copy")], format!("echo line >{}", path("line"))],
        });
        let mut said = Vec::new();
        let user_data = format!("#cloud-config\n{config:#}\n");
        carry_out(user_data.as_bytes(), &mut |what| said.push(what.to_owned())).unwrap();
        assert_eq!(std::fs::read_to_string(path("copy")).unwrap(), "hello\n");
        assert_eq!(std::fs::read_to_string(path("line")).unwrap(), "line\n");
        assert_eq!(std::fs::read(path("blob")).unwrap(), [0xff, 0]);
        assert_eq!(std::fs::metadata(path("a/text")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(said.iter().any(|s| s.contains("exit status: 1")), "{said:?}");
        assert!(!said.iter().any(|s| s.contains("hello")), "contents are secret: {said:?}");
    }

    #[test]
    fn what_the_lab_does_not_know_is_refused() {
        for bad in ["#!/bin/sh\n", "#cloud-config\npackages: [vim]\n", "#cloud-config\nruncmd: 3\n"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(b"#cloud-config\n{}\n").is_ok());
    }
}
