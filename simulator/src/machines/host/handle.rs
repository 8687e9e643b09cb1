//! What a container program sees of the machine underneath it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::HostFiles;

/// Who a machine is. Fixed when it is made, but for the boot id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostIdentity {
    /// The host name, which is also the Node's name unless kubeadm is told another.
    pub hostname: String,
    /// Addresses of the machine, the first one being the one that the kubelet reports.
    pub addresses: Vec<IpAddr>,
    /// Machine id as in /etc/machine-id.
    pub machine_id: String,
    /// The firmware's UUID.
    pub system_uuid: String,
}

/// A network device of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its kind, for example `vxlan` or `bridge`.
    pub kind: String,
    /// Its addresses with prefix lengths.
    pub addresses: Vec<String>,
    /// The hardware address, if it has one.
    pub mac: Option<String>,
    /// Whether it is up.
    pub up: bool,
}

#[derive(Default)]
struct Effects {
    interfaces: BTreeMap<String, Interface>,
    flags: BTreeMap<String, String>,
}

struct Shared {
    identity: HostIdentity,
    files: HostFiles,
    effects: Mutex<Effects>,
}

/// A machine as its own programs see it. Clones see the same machine.
#[derive(Clone)]
pub struct HostHandle(Arc<Shared>);

impl HostHandle {
    /// A host with an identity and a disk.
    pub fn new(identity: HostIdentity, files: HostFiles) -> Self {
        Self(Arc::new(Shared { identity, files, effects: Mutex::default() }))
    }

    fn effects(&self) -> MutexGuard<'_, Effects> {
        self.0.effects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who the machine is.
    pub fn identity(&self) -> &HostIdentity {
        &self.0.identity
    }

    /// The address that the kubelet reports first.
    pub fn address(&self) -> IpAddr {
        self.0.identity.addresses.first().copied().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
    }

    /// The machine's disk (with `/run`, which a stop empties).
    pub fn files(&self) -> &HostFiles {
        &self.0.files
    }

    /// Makes or changes a network device.
    pub fn set_interface(&self, name: &str, interface: Interface) {
        self.effects().interfaces.insert(name.to_owned(), interface);
    }

    /// All network devices beside `lo` and `eth0`.
    pub fn interfaces(&self) -> BTreeMap<String, Interface> {
        self.effects().interfaces.clone()
    }

    /// Publishes a fact about the running machine, for example `kube-proxy/cluster-cidr`, for
    /// other programs and for tests to see. It is gone after a reboot.
    pub fn publish(&self, flag: &str, value: &str) {
        self.effects().flags.insert(flag.to_owned(), value.to_owned());
    }

    /// Takes a published fact back.
    pub fn withdraw(&self, flag: &str) {
        self.effects().flags.remove(flag);
    }

    /// A published fact.
    pub fn published(&self, flag: &str) -> Option<String> {
        self.effects().flags.get(flag).cloned()
    }

    /// Forgets what a power cut forgets: devices, published facts, `/run` and `/tmp`.
    pub(crate) fn power_cut(&self) {
        *self.effects() = Effects::default();
        self.0.files.remove("/run");
        self.0.files.remove("/tmp");
    }
}
