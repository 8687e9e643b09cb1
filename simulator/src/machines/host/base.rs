//! What is on a machine's disk before its first boot.

use super::files::HostFiles;
use super::handle::HostIdentity;
use crate::machines::cni::{BINARIES, CONFIGURATION};
use crate::machines::machine::KUBELET_ENABLED;

/// The plugins that distributions install beside the kubelet. Flannel's is not among them.
const PLUGINS: [&str; 16] = [
    "bandwidth",
    "bridge",
    "dhcp",
    "dummy",
    "firewall",
    "host-device",
    "host-local",
    "ipvlan",
    "loopback",
    "macvlan",
    "portmap",
    "ptp",
    "sbr",
    "static",
    "tuning",
    "vlan",
];

/// Fills a new disk. The image `bare` has no CNI plugins.
pub(crate) fn base_image(files: &HostFiles, identity: &HostIdentity, image: Option<&str>) {
    let put = |path: &str, content: &str, mode: u32| {
        // The disk is empty, so nothing is in the way.
        let _ = files.write(path, content, mode);
    };
    put("/etc/hostname", &format!("{}\n", identity.hostname), 0o644);
    put("/etc/machine-id", &format!("{}\n", identity.machine_id), 0o444);
    put("/sys/class/dmi/id/product_uuid", &format!("{}\n", identity.system_uuid), 0o400);
    put("/etc/os-release", "ID=simulated\nPRETTY_NAME=\"Simulated Linux 1\"\n", 0o644);
    put("/proc/filesystems", "nodev\tproc\nnodev\toverlay\n\text4\n", 0o644);
    put("/proc/sys/net/ipv4/ip_forward", "1\n", 0o644);
    put("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n", 0o644);
    put(KUBELET_ENABLED, "[Unit]\nDescription=kubelet\n", 0o644);
    for directory in
        [CONFIGURATION, BINARIES, "/etc/kubernetes/manifests", "/var/lib/kubelet", "/var/lib/etcd"]
    {
        // As above.
        let _ = files.make_directory(directory);
    }
    if image != Some("bare") {
        for plugin in PLUGINS {
            put(&format!("{BINARIES}/{plugin}"), "", 0o755);
        }
    }
}
