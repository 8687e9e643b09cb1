//! The real kubectl with the way to one cluster.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The environment variable with the path of kubectl.
const KUBECTL: &str = "REPLANK_KUBECTL";

/// How long any one command may take.
const LIMIT: &str = "90";

/// kubectl with a home of its own.
pub(crate) struct Kubectl {
    program: OsString,
    home: TempDir,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// The kubectl that this machine has; if it has none, the test is reported as skipped.
    pub(crate) fn for_test(test: &str) -> Option<Self> {
        let Some(program) = std::env::var_os(KUBECTL) else {
            replank_tests::skip(test, &format!("{KUBECTL} names no kubectl"));
            return None;
        };
        let home = tempfile::tempdir().expect("a folder can be made");
        Some(Self { program, home, kubeconfig: PathBuf::new() })
    }

    /// Its home, which goes with it.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The same with the way to a cluster.
    pub(crate) fn with(self, kubeconfig: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_owned(), ..self }
    }

    fn start(&self, line: &str, stdin: &str) -> Output {
        let mut child = Command::new("timeout")
            .arg(LIMIT)
            .arg(&self.program)
            .args(line.split_whitespace())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", self.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let mut input = child.stdin.take().expect("stdin is piped");
        input.write_all(stdin.as_bytes()).expect("kubectl reads its input");
        drop(input);
        child.wait_with_output().expect("kubectl ends")
    }

    /// Runs a command that may end as it likes: its status, and what it said.
    pub(crate) fn ends(&self, line: &str, stdin: &str) -> (i32, String) {
        let output = self.start(line, stdin);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs a command that must do well: what it printed.
    #[track_caller]
    pub(crate) fn says(&self, line: &str) -> String {
        self.says_with(line, "")
    }

    /// The same with something on its stdin.
    #[track_caller]
    pub(crate) fn says_with(&self, line: &str, stdin: &str) -> String {
        let output = self.start(line, stdin);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {line}\n{out}{err}");
        assert!(!err.contains("couldn't get") && !err.contains("memcache"), "kubectl {line}\n{err}");
        out.into_owned()
    }
}
