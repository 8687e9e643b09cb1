//! The XML of a new domain, from typed values.

use crate::acceleration::Chosen;
use crate::domain::{AGENT, Domain};
use crate::mark::Mark;
use crate::settings::{Firmware, Settings};
use crate::xml::Element;
use replank_provider_protocol::MachineId;

/// A domain that shall be.
#[derive(Debug)]
pub struct Definition<'a> {
    /// Its UUID.
    pub id: &'a MachineId,
    /// Its name.
    pub name: &'a str,
    /// What is kept with it.
    pub mark: &'a Mark,
    /// What the user wants.
    pub settings: &'a Settings,
    /// Whether the processor helps.
    pub acceleration: Chosen,
    /// The machine whose place it takes.
    pub like: &'a Domain,
    /// The file of its disk.
    pub disk: &'a str,
    /// The file of its seed.
    pub seed: &'a str,
    /// The file that its console is written to.
    pub console: &'a str,
}

impl Definition<'_> {
    /// The document.
    pub fn xml(&self) -> String {
        let Self { settings, like, .. } = self;
        let memory = settings.memory_mib.unwrap_or(like.memory_mib);
        let processor = match &settings.processor {
            None => Element::new("cpu").with("mode", self.acceleration.processor()),
            Some(model) => Element::new("cpu")
                .with("mode", "custom")
                .with("match", "exact")
                .child(Element::new("model").with("fallback", "forbid").text(model)),
        };
        Element::new("domain")
            .with("type", self.acceleration.domain_type())
            .child(Element::new("name").text(self.name))
            .child(Element::new("uuid").text(self.id))
            .child(Element::new("metadata").child(self.mark.element()))
            .child(Element::new("memory").with("unit", "MiB").text(memory))
            .child(Element::new("vcpu").text(settings.vcpus.unwrap_or(like.vcpus)))
            .child(self.os())
            .child(Element::new("features").child(Element::new("acpi")).child(Element::new("apic")))
            .child(processor)
            .child(Element::new("clock").with("offset", "utc"))
            .child(Element::new("on_crash").text("destroy"))
            .child(self.devices())
            .render()
    }

    fn os(&self) -> Element {
        let kind = Element::new("type").with("arch", "x86_64").with("machine", "q35").text("hvm");
        let mut os = Element::new("os");
        if self.settings.firmware == Firmware::Efi {
            os = os.with("firmware", "efi");
        }
        os = os.child(kind);
        match &self.settings.kernel {
            Some(kernel) => os
                .child(Element::new("kernel").text(&kernel.path))
                .children(kernel.initrd.iter().map(|path| Element::new("initrd").text(path)))
                .child(Element::new("cmdline").text(&kernel.arguments)),
            None => os.child(Element::new("boot").with("dev", "hd")),
        }
    }

    fn devices(&self) -> Element {
        let random = Element::new("backend").with("model", "random").text("/dev/urandom");
        Element::new("devices")
            .child(disk(self.disk, "qcow2", "vda"))
            .child(self.seed_disk("vdb"))
            .children(self.interfaces())
            .child(self.serial())
            .child(Self::agent())
            .child(Element::new("rng").with("model", "virtio").child(random))
    }

    /// The seed, on virtio, which every kernel for virtual machines can read: some have no driver for a CD-ROM.
    pub(crate) fn seed_disk(&self, target: &str) -> Element {
        disk(self.seed, "raw", target).child(Element::new("readonly"))
    }

    /// The console, in a file that libvirt can be asked for.
    pub(crate) fn serial(&self) -> Element {
        let source = Element::new("source").with("path", self.console).with("append", "on");
        Element::new("serial").with("type", "file").child(source)
    }

    /// The guest agent's channel.
    pub(crate) fn agent() -> Element {
        let target = Element::new("target").with("type", "virtio").with("name", AGENT);
        Element::new("channel").with("type", "unix").child(target)
    }

    fn interfaces(&self) -> Vec<Element> {
        let networks = &self.settings.networks;
        if networks.is_empty() {
            let carried = self.like.interfaces.iter();
            return carried.map(|i| Element::new("interface").with("type", &i.kind).raw(&i.on)).collect();
        }
        let interface = |network: &String| {
            Element::new("interface")
                .with("type", "network")
                .child(Element::new("source").with("network", network))
                .child(Element::new("model").with("type", "virtio"))
        };
        networks.iter().map(interface).collect()
    }
}

fn disk(path: &str, format: &str, target: &str) -> Element {
    Element::new("disk")
        .with("type", "file")
        .with("device", "disk")
        .child(Element::new("driver").with("name", "qemu").with("type", format))
        .child(Element::new("source").with("file", path))
        .child(Element::new("target").with("dev", target).with("bus", "virtio"))
}
