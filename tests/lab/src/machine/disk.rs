//! A machine's disk: a root file system of its own over the outer machine's `/usr`.

use super::record::Record;
use crate::build::{Built, images, store};
use crate::error::{LabError, Result};
use crate::run::{command, succeed};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// What of this machine's `/etc` programs need to find; no secret is among it.
const COPIED: &[&str] = &[
    "group",
    "passwd",
    "nsswitch.conf",
    "protocols",
    "services",
    "ld.so.cache",
    "alternatives",
    "iproute2",
    "rpc",
];

const FOLDERS: &[&str] = &[
    ".usr/upper",
    ".usr/work",
    "boot",
    "dev",
    "etc/cni/net.d",
    "etc/containerd",
    "etc/default",
    "etc/kubernetes/manifests",
    "etc/ssh",
    "etc/ssl/certs",
    "etc/systemd/system/multi-user.target.wants",
    "home",
    "mnt",
    "opt/cni/bin",
    "proc",
    "root/.ssh",
    "run",
    "srv",
    "sys",
    "tmp",
    "usr",
    "var/cache",
    "var/lib/cloud/seed",
    "var/lib/replank-lab",
    "var/log",
    "var/tmp",
];

/// Containerd as every machine runs it. Root without CAP_SYS_RESOURCE can't lower its score for the
/// out-of-memory killer below its own: without the restriction runc dies trying.
const CONTAINERD: &str = r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "SANDBOX"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"#;

const SSHD: &str = "HostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication no\nUsePAM no\n\
    PermitRootLogin prohibit-password\nSubsystem sftp /usr/lib/openssh/sftp-server\n";

/// The plugins that every machine has before any CNI installs its own.
const PLUGINS: [&str; 4] = ["bridge", "loopback", "host-local", "portmap"];

/// Makes the disk of a machine that has never booted.
pub(crate) fn make(
    root: &Path,
    built: &Built,
    record: &Record,
    user_data: &[u8],
    ssh_key: &str,
) -> Result<()> {
    for folder in FOLDERS {
        let path = root.join(folder);
        std::fs::create_dir_all(&path).map_err(LabError::file(&path))?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        if let Ok(target) = std::fs::read_link(Path::new("/").join(name)) {
            let link = root.join(name);
            symlink(target, &link).map_err(LabError::file(&link))?;
        }
    }
    for (target, name) in [("../run", "var/run"), ("../run/lock", "var/lock")] {
        let link = root.join(name);
        symlink(target, &link).map_err(LabError::file(&link))?;
    }
    let present = COPIED.iter().map(|name| Path::new("/etc").join(name)).filter(|path| path.exists());
    let mut copy = command("cp", &["--archive", "--target-directory"]);
    copy.arg(root.join("etc")).args(present);
    succeed("copying to a machine's /etc", &mut copy)?;
    for plugin in PLUGINS {
        let to = root.join("opt/cni/bin").join(plugin);
        std::fs::copy(built.bin.join(plugin), &to).map_err(LabError::file(&to))?;
    }

    store::give(&built.images, record.role, &root.join("var/lib/containerd"))?;
    let name = &record.name;
    let files: Vec<(&str, u32, Vec<u8>)> = vec![
        ("etc/hostname", 0o644, format!("{name}\n").into()),
        ("etc/hosts", 0o644, format!("127.0.0.1 localhost\n{} {name}\n", record.address).into()),
        // Nobody answers there: names of the outer world are none of the lab's.
        ("etc/resolv.conf", 0o644, format!("nameserver {}\n", super::network::GATEWAY).into()),
        ("etc/machine-id", 0o444, format!("{}\n", record.uuid.replace('-', "")).into()),
        ("etc/shadow", 0o600, "root:*:::::::\nsshd:*:::::::\n".into()),
        // Enabled, as kubelet's package leaves it.
        ("etc/systemd/system/multi-user.target.wants/kubelet.service", 0o644, Vec::new()),
        ("etc/default/kubelet", 0o644, kubelet(record).into()),
        ("etc/containerd/config.toml", 0o644, CONTAINERD.replace("SANDBOX", images::PAUSE).into()),
        ("etc/crictl.yaml", 0o644, "runtime-endpoint: unix:///run/containerd/containerd.sock\n".into()),
        ("etc/ssh/sshd_config", 0o644, SSHD.into()),
        ("root/.ssh/authorized_keys", 0o600, ssh_key.into()),
        ("var/lib/cloud/seed/user-data", 0o600, user_data.to_vec()),
    ];
    for (path, mode, content) in files {
        let path = root.join(path);
        std::fs::write(&path, content).map_err(LabError::file(&path))?;
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(LabError::file(&path))?;
    }
    Ok(())
}

fn kubelet(record: &Record) -> String {
    format!("KUBELET_EXTRA_ARGS=\"--provider-id={}\"\n", record.provider_id())
}
