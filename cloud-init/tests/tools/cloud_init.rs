//! The real cloud-init: `REPLANK_CLOUD_INIT`, which `cargo xtask test` unpacks into the build folder, or the one
//! on PATH.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The real cloud-init.
pub(crate) struct CloudInit {
    program: PathBuf,
}

impl CloudInit {
    /// It, if there is one; otherwise the test is reported as not run.
    pub(crate) fn find(test: &str) -> Option<Self> {
        let program =
            std::env::var_os("REPLANK_CLOUD_INIT").map_or_else(|| PathBuf::from("cloud-init"), PathBuf::from);
        let answers =
            Command::new(&program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if answers.is_ok_and(|status| status.success()) {
            return Some(Self { program });
        }
        let reason = format!(
            "{} does not answer; `cargo xtask test fast` unpacks Debian's cloud-init where apt-get works",
            program.display()
        );
        replank_tests::skip(test, &reason);
        None
    }

    /// What `cloud-init schema` says of a document; `Err` if it is refused.
    pub(crate) fn schema(&self, user_data: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user-data");
        std::fs::write(&path, user_data).unwrap();
        let ran = Command::new(&self.program).args(["schema", "--config-file"]).arg(&path).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        // Deprecated keys are told, and taken.
        if ran.status.success() && said.contains("Valid") { Ok(said) } else { Err(said) }
    }

    /// A program in Python over cloud-init's own modules: the file that it is given as first argument holds
    /// `input`. Answers what it printed, as JSON.
    pub(crate) fn python(&self, program: &str, input: &[u8]) -> serde_json::Value {
        let beside = self.program.parent().unwrap_or(Path::new(""));
        let own = beside.join("python/bin/python");
        let mut command = if own.exists() {
            let mut command = Command::new(own);
            command.env("PYTHONPATH", beside.join("usr/lib/python3/dist-packages"));
            command
        } else {
            Command::new("python3")
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input");
        std::fs::write(&path, input).unwrap();
        let ran = command.args(["-c", program]).arg(&path).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        serde_json::from_slice(&ran.stdout).unwrap()
    }
}
