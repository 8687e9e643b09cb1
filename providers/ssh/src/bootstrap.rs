//! User-data as a plain script: an ssh host runs no cloud-init. What the script can't do is refused.
//!
//! The host keeps its own name: the Node's is in kubeadm's configuration.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_provider_protocol::{ErrorCode, ProviderError};
use serde::Deserialize;
use std::fmt::Write as _;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloudConfig {
    #[serde(default)]
    #[allow(dead_code, reason = "known, and left alone")]
    hostname: Option<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "known, and left alone")]
    preserve_hostname: Option<bool>,
    #[serde(default)]
    write_files: Vec<WriteFile>,
    #[serde(default)]
    runcmd: Vec<Words>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteFile {
    path: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    encoding: Option<Encoding>,
    #[serde(default)]
    permissions: Option<String>,
    #[serde(default)]
    owner: Option<String>,
}

#[derive(Deserialize)]
enum Encoding {
    #[serde(rename = "b64", alias = "base64")]
    Base64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    List(Vec<String>),
    Line(String),
}

/// What a host says of user-data that is of another kind.
const UNKNOWN: &str =
    "the user-data is no #cloud-config and no #!/bin/sh script: this host can't be told what to do";

/// The script that does what the user-data says. As with cloud-init a command that fails does not keep the
/// later ones from running; the script's status tells of it.
///
/// # Errors
/// When it asks for what a script on a host that lives already can't do.
pub fn script(user_data: &[u8]) -> Result<String, ProviderError> {
    let invalid =
        |message: String| ProviderError::lasting(ErrorCode::Invalid, format!("the user-data: {message}"));
    let text = match std::str::from_utf8(user_data) {
        Ok(text) if text.starts_with("#!/bin/sh") => return Ok(text.to_owned()),
        Ok(text) if text.lines().next().map(str::trim_end) == Some("#cloud-config") => text,
        // A machine that was given what it does not know is made, and fails at its first boot: so do others.
        _ => return Ok(format!("echo {} >&2\nexit 1\n", quoted(UNKNOWN))),
    };
    let config: CloudConfig = serde_saphyr::from_str(text).map_err(|e| invalid(e.to_string()))?;
    let mut script = String::from(
        "status=0\nput() {\n    mkdir -p \"$(dirname \"$1\")\" &&\n        (umask 077 && base64 -d >\"$1.replank\") &&\n        \
         chmod \"$2\" \"$1.replank\" && mv -f \"$1.replank\" \"$1\" || status=1\n}\n",
    );
    for file in &config.write_files {
        if file.owner.as_ref().is_some_and(|owner| owner != "root:root") {
            return Err(invalid(format!("{} shall not be root's", file.path)));
        }
        let content = match file.encoding {
            None => STANDARD.encode(&file.content),
            Some(Encoding::Base64) => file.content.split_whitespace().collect(),
        };
        let mode = file.permissions.as_deref().unwrap_or("0644");
        if u32::from_str_radix(mode, 8).is_err() {
            return Err(invalid(format!("the permissions of {} are no octal number", file.path)));
        }
        // Base64 has no character that would end the document.
        let _ = write!(script, "put {} {mode} <<'END-OF-FILE'\n{content}\nEND-OF-FILE\n", quoted(&file.path));
    }
    for words in &config.runcmd {
        let line = match words {
            Words::List(words) => words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" "),
            Words::Line(line) => format!("sh -c {}", quoted(line)),
        };
        let _ = writeln!(script, "{line} || status=1");
    }
    script.push_str("exit $status\n");
    Ok(script)
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_and_commands_run_even_after_one_failed() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = serde_json::json!({
            "hostname": "n", "write_files": [
                {"path": at("in/it's"), "content": "a\n'b", "permissions": "0600"},
                {"path": at("encoded"), "content": "aGVsbG8=", "encoding": "b64"},
            ],
            "runcmd": [["false"], ["touch", at("$HOME two")], format!("echo x > {}", at("line"))],
        });
        let script = script(format!("#cloud-config\n{config}\n").as_bytes()).expect("a script");
        let ended = std::process::Command::new("sh").args(["-c", &script]).status().expect("sh starts");
        assert_eq!(ended.code(), Some(1));
        let read = |name: &str| std::fs::read_to_string(at(name)).expect(name);
        assert_eq!(
            (read("in/it's").as_str(), read("encoded").as_str(), read("line").as_str()),
            ("a\n'b", "hello", "x\n")
        );
        assert_eq!(read("$HOME two"), "");
    }

    #[test]
    fn what_is_no_cloud_config_fails_at_the_first_boot() {
        for bytes in [&b"\x1f\x8b\x08"[..], b"MIME-Version: 1.0"] {
            let made = script(bytes).expect("a machine is made");
            let ended = std::process::Command::new("sh").args(["-c", &made]).output().expect("sh starts");
            assert_eq!(
                (ended.status.code(), String::from_utf8_lossy(&ended.stderr).trim()),
                (Some(1), UNKNOWN)
            );
        }
    }

    #[test]
    fn what_a_script_can_not_do_is_refused() {
        for text in
            ["#cloud-config\npackages: [x]\n", "#cloud-config\nwrite_files: [{path: /a, owner: me}]\n"]
        {
            assert_eq!(script(text.as_bytes()).expect_err(text).code, ErrorCode::Invalid);
        }
    }
}
