//! One domain, read from its XML.

use crate::mark::{Mark, NAMESPACE};
use crate::xml::{child, children};
use replank_provider_protocol::{Machine, MachineId, MachineState};
use roxmltree::{Document, Node};
use std::net::IpAddr;

/// The name of the guest agent's channel.
pub const AGENT: &str = "org.qemu.guest_agent.0";

/// A domain as libvirt has it.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Its UUID, which the guest's firmware tells, and so its kubelet.
    pub id: MachineId,
    /// Its name.
    pub name: String,
    /// Its XML.
    pub xml: String,
    /// Whether it is on.
    pub power: Power,
    /// What replank keeps with it.
    pub mark: Mark,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// How many processors.
    pub vcpus: u32,
    /// Its disks, those with a medium of their own.
    pub disks: Vec<Disk>,
    /// Its network interfaces.
    pub interfaces: Vec<Interface>,
    /// Their MAC addresses.
    pub macs: Vec<String>,
    /// Whether a guest agent is connected.
    pub agent: bool,
}

/// Whether a domain is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It runs, or waits in memory.
    On,
    /// Its guest shuts down.
    Ending,
    /// It is off.
    Off,
    /// It crashed, and is kept for whoever looks into it.
    Crashed,
}

/// A disk of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its name in the domain, such as `vda`.
    pub target: String,
    /// Where its content lies.
    pub source: Source,
    /// The content's format.
    pub format: String,
    /// Whether it is written to by this domain, and by no other.
    pub own: bool,
}

/// Where a disk's content lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a file, or on a block device.
    Path(String),
    /// In a volume that is named by its pool.
    Volume {
        /// The pool.
        pool: String,
        /// The volume.
        volume: String,
    },
    /// Elsewhere: on a network, or nowhere.
    Other,
}

/// A network interface of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its type, such as `network` or `bridge`.
    pub kind: String,
    /// What it is on, as XML.
    pub on: String,
}

/// What of an interface another one shares: the network, not the address.
const SHARED: [&str; 6] = ["source", "virtualport", "vlan", "model", "mtu", "filterref"];

impl Domain {
    /// Reads a domain's XML. `state` is libvirt's number.
    ///
    /// # Errors
    /// When it is no domain.
    pub fn read(xml: &str, state: Option<u32>) -> Result<Self, String> {
        let document = Document::parse(xml).map_err(|e| e.to_string())?;
        let root = document.root_element();
        let text = |name: &str| child(root, name).and_then(|n| n.text()).map(str::trim).unwrap_or_default();
        let (name, id) = (text("name").to_owned(), text("uuid").to_lowercase());
        if name.is_empty() || id.is_empty() {
            return Err("a domain has no name or no uuid".into());
        }
        let devices = child(root, "devices");
        let disks = devices.into_iter().flat_map(|d| children(d, "disk")).filter_map(disk).collect();
        let interfaces = devices.into_iter().flat_map(|d| children(d, "interface"));
        let (interfaces, macs): (Vec<_>, Vec<_>) =
            interfaces.map(|node| (interface(xml, node), mac(node))).unzip();
        let agent = devices.into_iter().flat_map(|d| children(d, "channel")).any(|channel| {
            child(channel, "target").is_some_and(|t| {
                t.attribute("name") == Some(AGENT) && t.attribute("state") == Some("connected")
            })
        });
        let power = match state {
            Some(4) => Power::Ending,
            Some(5) => Power::Off,
            Some(6) => Power::Crashed,
            // A running domain has a number.
            None if root.attribute("id").is_none() => Power::Off,
            _ => Power::On,
        };
        Ok(Self {
            id: MachineId::new(id),
            name,
            power,
            mark: mark(root)?,
            memory_mib: memory(root),
            vcpus: text("vcpu").parse().unwrap_or(1),
            disks,
            interfaces,
            macs: macs.into_iter().flatten().collect(),
            agent,
            xml: xml.to_owned(),
        })
    }

    /// The disk that it starts from: the first that is its own.
    pub fn system_disk(&self) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.own)
    }

    /// As the protocol shows it.
    pub fn machine(&self, addresses: Vec<IpAddr>) -> Machine {
        let made = self.mark.made.as_ref();
        let state = match self.power {
            Power::On => MachineState::Running,
            Power::Ending => MachineState::Stopping,
            Power::Crashed => MachineState::Failed,
            Power::Off if made.is_some_and(|m| m.phase == crate::mark::Phase::Defined) => {
                MachineState::Pending
            }
            Power::Off => MachineState::Stopped,
        };
        Machine {
            id: self.id.clone(),
            name: self.name.clone(),
            state,
            // Nothing tells a kubelet of a provider id here.
            provider_id: None,
            system_uuid: Some(self.id.to_string()),
            addresses,
            run: made.map(|m| m.run.clone()),
            labels: made.map(|m| m.labels.clone()).unwrap_or_default(),
        }
    }
}

fn disk(node: Node<'_, '_>) -> Option<Disk> {
    if node.attribute("device").unwrap_or("disk") != "disk" {
        return None;
    }
    let source = child(node, "source");
    let attribute = |name: &str| source.and_then(|s| s.attribute(name)).map(str::to_owned);
    let source =
        match (attribute("file").or_else(|| attribute("dev")), attribute("pool"), attribute("volume")) {
            (Some(path), ..) => Source::Path(path),
            (None, Some(pool), Some(volume)) => Source::Volume { pool, volume },
            _ => Source::Other,
        };
    let driver = child(node, "driver").and_then(|d| d.attribute("type"));
    Some(Disk {
        target: child(node, "target")?.attribute("dev")?.to_owned(),
        source,
        format: driver.unwrap_or("raw").to_owned(),
        own: child(node, "readonly").is_none() && child(node, "shareable").is_none(),
    })
}

fn interface(xml: &str, node: Node<'_, '_>) -> Interface {
    let parts = node.children().filter(|n| SHARED.contains(&n.tag_name().name()));
    let on = parts.map(|part| &xml[part.range()]).collect();
    Interface { kind: node.attribute("type").unwrap_or("network").to_owned(), on }
}

fn mac(node: Node<'_, '_>) -> Option<String> {
    child(node, "mac")?.attribute("address").map(str::to_owned)
}

fn memory(root: Node<'_, '_>) -> u64 {
    let Some(node) = child(root, "memory") else { return 0 };
    let number: u64 = node.text().and_then(|t| t.trim().parse().ok()).unwrap_or_default();
    // libvirt itself always tells KiB.
    match node.attribute("unit").unwrap_or("KiB") {
        "b" | "bytes" => number / 1024 / 1024,
        "MiB" | "M" => number,
        "GiB" | "G" => number * 1024,
        _ => number / 1024,
    }
}

fn mark(root: Node<'_, '_>) -> Result<Mark, String> {
    let metadata = child(root, "metadata");
    let ours = metadata
        .into_iter()
        .flat_map(|m| m.children())
        .find(|node| node.has_tag_name((NAMESPACE, "machine")));
    let Some(text) = ours.and_then(|node| node.text()) else { return Ok(Mark::default()) };
    serde_json::from_str(text).map_err(|e| format!("its metadata of {NAMESPACE} can't be read: {e}"))
}
