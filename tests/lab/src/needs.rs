//! What the lab needs of this machine, tried by doing it.

use crate::build::report::Progress;
use crate::error::{LabError, Result};
use crate::run::{command, output, succeed};
use std::path::Path;
use std::process::Command;

/// Programs and the packages of Debian that bring them.
const PACKAGES: &[(&str, &str)] = &[
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("ethtool", "ethtool"),
    ("socat", "socat"),
    ("ipset", "ipset"),
    ("busybox", "busybox-static"),
    ("haproxy", "haproxy"),
    ("sshd", "openssh-server"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("ldd", "libc-bin"),
];

/// What it takes to run virtual machines, and to make their image. A program that is on no path is named in full.
const VIRTUAL: &[(&str, &str)] = &[
    ("libvirtd", "libvirt-daemon"),
    (
        "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so",
        "libvirt-daemon-driver-qemu",
    ),
    ("virsh", "libvirt-clients"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("qemu-img", "qemu-utils"),
    ("dnsmasq", "dnsmasq-base"),
    ("mmdebstrap", "mmdebstrap"),
    ("mkfs.ext4", "e2fsprogs"),
    ("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"),
];

/// Installs the packages that are missing, where apt can do it.
///
/// # Errors
/// When one is missing and can't be installed.
pub fn packages(progress: &mut Progress<'_>) -> Result<()> {
    installed(PACKAGES, progress)
}

/// Installs what virtual machines need, where apt can do it.
///
/// # Errors
/// When something is missing and can't be installed, or the processor is of another kind.
pub fn virtual_machines(progress: &mut Progress<'_>) -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        return Err(LabError::Missing(vec!["virtual machines are made for x86_64 only".into()]));
    }
    let lacking = missing(VIRTUAL).join(" ");
    // Whatever came of it: without them there are no virtual machines, and everything else goes on.
    let why = |error| format!("virtual machines need {lacking}, which can't be installed: {error}");
    installed(VIRTUAL, progress).map_err(|error| LabError::Missing(vec![why(error)]))
}

/// The packages whose programs are not there.
fn missing(wanted: &[(&str, &'static str)]) -> Vec<&'static str> {
    wanted.iter().filter(|(program, _)| !on_path(program)).map(|(_, package)| *package).collect()
}

fn installed(wanted: &[(&str, &'static str)], progress: &mut Progress<'_>) -> Result<()> {
    let first = missing(wanted);
    if first.is_empty() {
        return Ok(());
    }
    let by_hand = || {
        LabError::Missing(vec![format!(
            "programs are missing: install the packages {} (Debian's names)",
            first.join(" ")
        )])
    };
    if !rustix::process::geteuid().is_root() || !on_path("apt-get") {
        return Err(by_hand());
    }
    progress.say(&format!("installing {}", first.join(" ")));
    succeed("apt-get update", &mut apt(&["update"]))?;
    let mut words = vec!["install", "--yes", "--no-install-recommends"];
    words.extend(&first);
    succeed("apt-get install", &mut apt(&words))?;
    if missing(wanted).is_empty() { Ok(()) } else { Err(by_hand()) }
}

/// apt that asks nothing. No service of what it installs is started: a `policy-rc.d` of our own would
/// outlive us, so that the variable that `invoke-rc.d` heeds has to do.
fn apt(words: &[&str]) -> Command {
    let mut apt = command("apt-get", words);
    apt.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    apt
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(Into::into);
    std::env::split_paths(&path).chain(system).any(|folder| folder.join(program).exists())
}

/// Whether Go is there and new enough to fetch what the modules ask for.
///
/// # Errors
/// When it is not.
pub fn go() -> Result<()> {
    let missing = || LabError::Missing(vec!["Go is missing: install Go 1.26 or newer (go.dev/dl)".into()]);
    let version = output(&mut command("go", &["env", "GOVERSION"])).map_err(|_| missing())?;
    let text = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let minor = text.trim_start_matches("go1.").split('.').next().and_then(|m| m.parse::<u32>().ok());
    match minor {
        Some(minor) if minor >= 26 => Ok(()),
        _ => Err(LabError::Missing(vec![format!(
            "Go is too old ({text}): install Go 1.26 or newer (go.dev/dl)"
        )])),
    }
}

/// Rights, packages and kernel features. Packages come before what is tried with them: without `iptables` no kernel
/// seems to have NAT.
///
/// # Errors
/// When something is missing, and could not be installed.
pub fn machine(progress: &mut Progress<'_>) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::Missing(vec!["the lab needs root: run it with sudo".into()]));
    }
    packages(progress)?;
    kernel()
}

/// Kernel features, each tried with the packages' programs. All that is missing is told at once.
///
/// # Errors
/// When something is missing.
pub fn kernel() -> Result<()> {
    let mut missing = Vec::new();
    for (what, script) in TRIALS {
        // In namespaces of its own: whatever it makes is gone when it ends.
        let words = ["--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-e", "-c", script];
        let tried = output(&mut command("unshare", &words));
        if let Err(why) = tried.and_then(|o| crate::run::checked(what, &o)) {
            missing.push(format!("this kernel or container lacks {what} ({why})"));
        }
    }
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
        && !Path::new("/sys/fs/cgroup/memory").exists()
    {
        missing.push("no cgroups are mounted on /sys/fs/cgroup: mount version 1 or 2 there".into());
    }
    if !Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists() {
        missing.push("this kernel lacks br_netfilter: modprobe br_netfilter".into());
    }
    if missing.is_empty() { Ok(()) } else { Err(LabError::Missing(missing)) }
}

const TRIALS: &[(&str, &str)] = &[
    ("network namespaces with veth pairs", "ip link add name try0 type veth peer name try1"),
    ("bridges", "ip link add name try0 type bridge"),
    ("VXLAN (modprobe vxlan)", "ip link add name try0 type vxlan id 1 dstport 8472 dev lo"),
    ("nf_tables with NAT", "iptables -t nat -A POSTROUTING -j MASQUERADE"),
    ("mounts of tmpfs and cgroups", "mount -t tmpfs none /run"),
    (
        "overlay file systems",
        "mount -t tmpfs none /mnt && mkdir /mnt/l /mnt/u /mnt/w /mnt/m && \
         mount -t overlay -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w overlay /mnt/m",
    ),
];
