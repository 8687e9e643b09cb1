//! What a node's image must hold: one list. User-data checks it before the join, the admission of a replacement
//! names what is missing, and `docs/node-image.md` shows it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a machine tells that it lacks something: a line of its console and of the file that its first boot writes,
/// with the item's id behind it.
pub const LACKS: &str = "replank: this machine lacks ";

/// One thing that a node's image must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Item {
    /// kubeadm.
    Kubeadm,
    /// The kubelet.
    Kubelet,
    /// A container runtime.
    ContainerRuntime,
    /// The CNI plugin that Flannel's delegates to.
    CniBridge,
    /// The CNI plugin that hands out addresses.
    CniHostLocal,
    /// The CNI plugin for `lo`.
    CniLoopback,
    /// The CNI plugin for host ports.
    CniPortmap,
    /// The kernel module that shows bridged packets to iptables.
    BrNetfilter,
    /// The kernel's overlay file system.
    Overlay,
    /// Forwarding of packets.
    Forwarding,
}

/// An item of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Which.
    pub item: Item,
    /// What it is called in a sentence.
    pub name: &'static str,
    /// A shell's condition that holds where it is there.
    pub test: &'static str,
    /// What does not work without it.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

const PLUGINS: &str =
    "install the CNI plugins (package containernetworking-plugins or kubernetes-cni) in /opt/cni/bin";

/// The list.
pub const REQUIREMENTS: [Requirement; 10] = [
    Requirement {
        item: Item::Kubeadm,
        name: "kubeadm",
        test: "command -v kubeadm >/dev/null",
        why: "a node joins with it",
        remedy: "install kubeadm of the cluster's minor version",
    },
    Requirement {
        item: Item::Kubelet,
        name: "the kubelet",
        test: "command -v kubelet >/dev/null",
        why: "it is the node",
        remedy: "install the kubelet of the cluster's minor version, its service enabled",
    },
    Requirement {
        item: Item::ContainerRuntime,
        name: "a container runtime",
        test: "command -v containerd >/dev/null || command -v crio >/dev/null || command -v cri-dockerd >/dev/null",
        why: "the kubelet starts no container itself",
        remedy: "install containerd, CRI-O or cri-dockerd, its service enabled",
    },
    Requirement {
        item: Item::CniBridge,
        name: "the CNI plugin bridge",
        test: "test -x /opt/cni/bin/bridge",
        why: "Flannel's plugin delegates to it, and brings only itself; Calico never needed it",
        remedy: PLUGINS,
    },
    Requirement {
        item: Item::CniHostLocal,
        name: "the CNI plugin host-local",
        test: "test -x /opt/cni/bin/host-local",
        why: "it hands out the addresses of the node's podCIDR",
        remedy: PLUGINS,
    },
    Requirement {
        item: Item::CniLoopback,
        name: "the CNI plugin loopback",
        test: "test -x /opt/cni/bin/loopback",
        why: "older containerd runs it for every pod",
        remedy: PLUGINS,
    },
    Requirement {
        item: Item::CniPortmap,
        name: "the CNI plugin portmap",
        test: "test -x /opt/cni/bin/portmap",
        why: "it stands in Flannel's configuration, and without it no pod gets a network",
        remedy: PLUGINS,
    },
    Requirement {
        item: Item::BrNetfilter,
        name: "br_netfilter",
        test: "test -e /proc/sys/net/bridge/bridge-nf-call-iptables",
        why: "flanneld ends without it, and kubeadm no longer looks for it",
        remedy: "use a kernel with the module br_netfilter (on cloud images it may be in a package of extra modules)",
    },
    Requirement {
        item: Item::Overlay,
        name: "overlay",
        test: "grep -q overlay /proc/filesystems",
        why: "containers' root file systems are made of it",
        remedy: "use a kernel with the module overlay",
    },
    Requirement {
        item: Item::Forwarding,
        name: "forwarding",
        test: "grep -q 1 /proc/sys/net/ipv4/ip_forward",
        why: "packets of pods cross the node",
        remedy: "let nothing in the image set net.ipv4.ip_forward back to 0",
    },
];

impl Item {
    /// Its line of the list.
    pub fn requirement(self) -> &'static Requirement {
        // A test holds every item to the list.
        REQUIREMENTS.iter().find(|r| r.item == self).unwrap_or(&REQUIREMENTS[0])
    }

    /// Its stable name.
    pub fn id(self) -> &'static str {
        match self {
            Self::Kubeadm => "kubeadm",
            Self::Kubelet => "kubelet",
            Self::ContainerRuntime => "container-runtime",
            Self::CniBridge => "cni-bridge",
            Self::CniHostLocal => "cni-host-local",
            Self::CniLoopback => "cni-loopback",
            Self::CniPortmap => "cni-portmap",
            Self::BrNetfilter => "br-netfilter",
            Self::Overlay => "overlay",
            Self::Forwarding => "forwarding",
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.requirement().name)
    }
}

/// What a machine's console, or the file that its first boot wrote, says that it lacks.
pub fn told(text: &str) -> Vec<Item> {
    let ids = text.lines().filter_map(|line| line.split_once(LACKS)).map(|(_, id)| id.trim());
    in_order(ids.filter_map(|id| REQUIREMENTS.iter().map(|r| r.item).find(|item| item.id() == id)))
}

/// What a kubelet's, runtime's or flanneld's own words say is missing.
pub fn understood(message: &str) -> Vec<Item> {
    let plugin = message
        .split_once("failed to find plugin \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(name, _)| format!("cni-{name}"));
    let plugin = REQUIREMENTS.iter().map(|r| r.item).filter(|item| plugin.as_deref() == Some(item.id()));
    let filter = message.contains("br_netfilter").then_some(Item::BrNetfilter);
    in_order(plugin.chain(filter))
}

/// Each once, as the list has them.
fn in_order(items: impl Iterator<Item = Item>) -> Vec<Item> {
    let found: Vec<Item> = items.collect();
    REQUIREMENTS.iter().map(|r| r.item).filter(|item| found.contains(item)).collect()
}

/// What is lacking and what to do, in a sentence.
pub fn sentence(items: &[Item]) -> String {
    let names: Vec<&str> = items.iter().map(|item| item.requirement().name).collect();
    let mut remedies: Vec<&str> = items.iter().map(|item| item.requirement().remedy).collect();
    remedies.dedup();
    format!("{}; {}", names.join(", "), remedies.join("; "))
}

/// The list as the documentation shows it.
pub fn table() -> String {
    let mut out =
        String::from("| item | looked for with | without it | what to do |\n| --- | --- | --- | --- |\n");
    for r in &REQUIREMENTS {
        let test = r.test.replace("||", "\\|\\|");
        out.push_str(&format!("| {} (`{}`) | `{test}` | {} | {} |\n", r.name, r.item.id(), r.why, r.remedy));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_stands_in_the_list_under_its_own_name() {
        for requirement in &REQUIREMENTS {
            assert_eq!(requirement.item.requirement(), requirement);
            assert_eq!(serde_json::json!(requirement.item), serde_json::json!(requirement.item.id()));
        }
        let ids: std::collections::BTreeSet<&str> = REQUIREMENTS.iter().map(|r| r.item.id()).collect();
        assert_eq!(ids.len(), REQUIREMENTS.len());
    }

    /// The page is made from the list: `REPLANK_WRITE_DOCS=1` writes it anew.
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests says so, and no plan depends on it"
    )]
    fn the_documentation_shows_the_list() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/node-image.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once("<!-- list -->\n").unwrap();
        let (shown, after) = rest.split_once("<!-- end of list -->").unwrap();
        if std::env::var_os("REPLANK_WRITE_DOCS").is_some() {
            let page = format!("{before}<!-- list -->\n{}<!-- end of list -->{after}", table());
            std::fs::write(path, page).unwrap();
            return;
        }
        assert_eq!(shown, table(), "REPLANK_WRITE_DOCS=1 writes the page anew");
    }

    #[test]
    fn a_console_and_others_words_are_understood() {
        let console = "[  3.1] cloud-init[812]: replank: this machine lacks br-netfilter\nreplank: this machine lacks cni-portmap\nreplank: this machine lacks patience\n";
        assert_eq!(told(console), [Item::CniPortmap, Item::BrNetfilter]);
        assert_eq!(told("login:"), []);
        let kubelet = "plugin type=\"flannel\" failed (add): failed to delegate add: failed to find plugin \"bridge\" in path [/opt/cni/bin]";
        assert_eq!(understood(kubelet), [Item::CniBridge]);
        let flannel = "failed to check br_netfilter: stat /proc/sys/net/bridge/bridge-nf-call-iptables: no such file or directory";
        assert_eq!(understood(flannel), [Item::BrNetfilter]);
        assert_eq!(understood("failed to find plugin \"calico\" in path [/opt/cni/bin]"), []);
    }

    #[test]
    fn the_sentence_names_every_item_and_each_remedy_once() {
        insta::assert_snapshot!(
            sentence(&[Item::CniBridge, Item::CniPortmap]),
            @"the CNI plugin bridge, the CNI plugin portmap; install the CNI plugins (package containernetworking-plugins or kubernetes-cni) in /opt/cni/bin"
        );
    }
}
