//! Wishes that contradict themselves: what is wrong with an intent whatever the cluster is like.

use super::{Backend, Intent};
use crate::cidr;
use crate::cni::flannel::manifest;
use ipnet::IpNet;
use std::collections::BTreeSet;

/// The smallest MTU that IPv4 hosts must take (RFC 791), and IPv6 links (RFC 8200).
const LEAST_MTU: u32 = 576;
const LEAST_MTU_V6: u32 = 1280;
/// The largest that an Ethernet with jumbo frames carries.
const LARGEST_MTU: u32 = 9216;

/// Something in an intent that can't be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which value, as the keys that lead to it.
    pub at: Vec<String>,
    /// What is wrong with it, and what to do.
    pub message: String,
}

impl Problem {
    fn new(at: &[&str], message: impl Into<String>) -> Self {
        Self { at: at.iter().map(|key| (*key).to_owned()).collect(), message: message.into() }
    }
}

/// Everything that can't be meant.
pub fn problems(intent: &Intent) -> Vec<Problem> {
    let mut found = Vec::new();
    ranges(intent, &mut found);
    flannel(intent, &mut found);
    own_manifest(intent, &mut found);
    nodes(intent, &mut found);
    kubelets(intent, &mut found);
    found
}

/// What every kubelet must have for itself, or gets from replank or kubeadm.
const NOT_FOR_ALL: [(&str, &str); 9] = [
    ("bootstrap-kubeconfig", "kubeadm sets it"),
    ("config", "kubeadm sets it"),
    ("container-runtime-endpoint", "kubeadm sets it"),
    ("hostname-override", "it would give every node one name"),
    ("kubeconfig", "kubeadm sets it"),
    ("node-labels", "labels are set when the node is admitted, so that nothing lands there before"),
    ("provider-id", "it would take every node for one machine"),
    ("register-node", "a node that does not register is never seen"),
    ("register-with-taints", "replank sets it, so that nothing lands before the node is admitted"),
];

fn kubelets(intent: &Intent, found: &mut Vec<Problem>) {
    for (name, value) in &intent.nodes.kubelet_extra_args {
        let here = ["nodes", "kubeletExtraArgs", name];
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.starts_with('-') || !name.chars().all(plain) {
            found.push(Problem::new(
                &here,
                format!("{name:?} is no flag's name; write it without dashes in front"),
            ));
        }
        if let Some((_, why)) = NOT_FOR_ALL.iter().find(|(known, _)| known == name) {
            found.push(Problem::new(&here, format!("{name} can't be given to all nodes: {why}")));
        }
        let address = value.parse::<std::net::IpAddr>().ok().filter(|address| !address.is_unspecified());
        if let (Some(address), "node-ip") = (address, name.as_str()) {
            let message =
                format!("{address} would be every node's address; \"::\" or \"0.0.0.0\" choose a family");
            found.push(Problem::new(&here, message));
        }
    }
}

fn ranges(intent: &Intent, found: &mut Vec<Problem>) {
    let ranges = &intent.network.pod_cidrs;
    for (at, range) in ranges.iter().enumerate() {
        let here = ["network", "podCidrs", &at.to_string()];
        if range.trunc() != *range {
            let meant = range.trunc();
            found.push(Problem::new(
                &here,
                format!("{range} is an address inside a range; the range itself is {meant}"),
            ));
        }
        if ranges[..at].iter().any(|other| is_v6(other) == is_v6(range)) {
            let family = if is_v6(range) { "IPv6" } else { "IPv4" };
            found.push(Problem::new(
                &here,
                format!("there is an {family} range already; leave one of the two out"),
            ));
        }
    }
}

fn is_v6(range: &IpNet) -> bool {
    matches!(range, IpNet::V6(_))
}

fn flannel(intent: &Intent, found: &mut Vec<Problem>) {
    let network = &intent.network;
    if network.manifest.is_some() {
        let decided = "the manifest decides it; leave this out, or the manifest";
        if network.image.is_some() {
            found.push(Problem::new(&["network", "image"], decided));
        }
        if network.mtu.is_some() {
            found.push(Problem::new(&["network", "mtu"], decided));
        }
        if network.backend != Backend::default() {
            found.push(Problem::new(&["network", "backend"], decided));
        }
    }
    let least = if network.pod_cidrs.iter().any(is_v6) { LEAST_MTU_V6 } else { LEAST_MTU };
    if let Some(mtu) = network.mtu
        && !(least..=LARGEST_MTU).contains(&mtu)
    {
        let message = format!(
            "an MTU of {mtu} bytes can't work with these ranges; give one from {least} to {LARGEST_MTU}"
        );
        found.push(Problem::new(&["network", "mtu"], message));
    }
    if network.image.as_deref() == Some("") {
        found.push(Problem::new(
            &["network", "image"],
            "an image needs a name; leave it out for the tried one",
        ));
    }
}

/// A manifest of the user's own, and ranges beside it: flanneld knows only its own.
fn own_manifest(intent: &Intent, found: &mut Vec<Problem>) {
    let Some(text) = intent.network.manifest.as_deref() else { return };
    let networks = match manifest::read(text) {
        Ok(own) => own.networks,
        Err(error) => return found.push(Problem::new(&["network", "manifest"], error.to_string())),
    };
    let asked = &intent.network.pod_cidrs;
    let same = asked.iter().collect::<BTreeSet<_>>() == networks.iter().collect();
    if !asked.is_empty() && !same {
        let message = format!(
            "the manifest's net-conf.json names {}, and its flanneld refuses every Node outside of that; leave this \
             out, or name the same in both",
            cidr::join(&networks)
        );
        found.push(Problem::new(&["network", "podCidrs"], message));
    }
}

fn nodes(intent: &Intent, found: &mut Vec<Problem>) {
    if intent.nodes.max_surge == 0 {
        let message = "without one more machine than there are nodes nothing can be replaced; give 1 or more";
        found.push(Problem::new(&["nodes", "maxSurge"], message));
    }
    if intent.nodes.canary.as_deref() == Some("") {
        found.push(Problem::new(&["nodes", "canary"], "name a worker; leave it out for the first by name"));
    }
    if intent.drain.deadline_seconds == 0 {
        let message = "no drain ends in no time; give the seconds after which the run pauses, such as 900";
        found.push(Problem::new(&["drain", "deadlineSeconds"], message));
    }
    if intent.provider.name.trim().is_empty() {
        found.push(Problem::new(
            &["provider", "name"],
            "name a provider; `replank provider list` shows those that are found",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Intent)) -> Vec<String> {
        let mut intent = Intent::default();
        change(&mut intent);
        problems(&intent).into_iter().map(|p| p.at.join(".")).collect()
    }

    /// The least that is a Flannel.
    fn manifest(network: &str) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: flannel}}\n\
             data: {{net-conf.json: '{{\"Network\": \"{network}\"}}'}}\n---\n\
             apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: flannel}}\n\
             spec: {{template: {{spec: {{containers: [{{name: flanneld, image: \"flannel-io/flannel:v1\"}}]}}}}}}\n"
        )
    }

    #[test]
    fn nothing_is_wrong_with_the_default() {
        assert_eq!(problems(&Intent::default()), []);
    }

    #[test]
    fn what_can_not_be_meant_is_named() {
        let ranges = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<IpNet>>();
        assert_eq!(
            with(|i| i.network.pod_cidrs = ranges(&["10.1.0.0/16", "10.2.0.0/16"])),
            ["network.podCidrs.1"]
        );
        assert_eq!(with(|i| i.network.pod_cidrs = ranges(&["10.1.2.3/16"])), ["network.podCidrs.0"]);
        assert_eq!(
            with(|i| i.network.pod_cidrs = ranges(&["10.1.0.0/16", "fd00::/48"])),
            Vec::<String>::new()
        );
        assert_eq!(with(|i| i.network.mtu = Some(100)), ["network.mtu"]);
        let narrow = |i: &mut Intent| {
            i.network.pod_cidrs = ranges(&["fd00::/48"]);
            i.network.mtu = Some(1200);
        };
        assert_eq!(with(narrow), ["network.mtu"]);
        let both = |i: &mut Intent| {
            i.network.manifest = Some(manifest("10.77.0.0/16"));
            i.network.image = Some("flannel:1".into());
            i.network.backend = Backend::HostGw;
        };
        assert_eq!(with(both), ["network.image", "network.backend"]);
        assert_eq!(with(|i| i.nodes.max_surge = 0), ["nodes.maxSurge"]);
        assert_eq!(with(|i| i.drain.deadline_seconds = 0), ["drain.deadlineSeconds"]);
    }

    #[test]
    fn a_manifest_that_installs_no_flannel_can_not_be_meant() {
        let given = |text: &str| with(|i| i.network.manifest = Some(text.into()));
        assert_eq!(given(&manifest("10.77.0.0/16")), Vec::<String>::new());
        for text in ["a: b: c", "replicas: 3", "apiVersion: v1\nkind: Secret\nmetadata: {name: psk}\n"] {
            assert_eq!(given(text), ["network.manifest"], "{text}");
        }
    }

    #[test]
    fn ranges_beside_a_manifest_are_its_own() {
        let beside = |range: &str| {
            with(|i| {
                i.network.manifest = Some(manifest("10.77.0.0/16"));
                i.network.pod_cidrs = vec![range.parse().unwrap()];
            })
        };
        assert_eq!(beside("10.77.0.0/16"), Vec::<String>::new());
        assert_eq!(beside("10.78.0.0/16"), ["network.podCidrs"]);
        assert_eq!(beside("10.77.0.0/17"), ["network.podCidrs"], "flanneld would not know the rest");
    }
}
