//! Flannel's delegate with bridge and host-local: an address from the host's subnet file.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::{Attachment, find_binary};
use crate::machines::api::text;
use crate::machines::host::HostFiles;

const SUBNET_FILE: &str = "/run/flannel/subnet.env";
const DATA: &str = "/var/lib/cni/flannel";
const RESERVATIONS: &str = "/var/lib/cni/networks";

/// Gives the sandbox an address of the host's subnets.
pub(super) fn add(
    files: &HostFiles,
    conf: &Value,
    network: &str,
    attachment: &Attachment,
) -> Result<Vec<IpAddr>, String> {
    let path = match text(conf, "/subnetFile") {
        "" => SUBNET_FILE,
        path => path,
    };
    let env = files.read_text(path).ok_or_else(|| {
        format!(
            "failed to load flannel 'subnet.env' file: open {path}: no such file or directory. \
             Check the flannel pod log for this node."
        )
    })?;
    for delegate in ["bridge", "host-local"] {
        find_binary(files, delegate)?;
    }
    let of = |name: &str| {
        env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let subnets: Vec<String> =
        ["FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"].iter().filter_map(|name| of(name)).collect();
    if subnets.is_empty() {
        return Err(format!("{path} is missing FLANNEL_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ"));
    }
    let mut addresses = Vec::new();
    for subnet in subnets {
        addresses.push(reserve(files, network, &subnet, &attachment.sandbox)?);
    }
    let kept = json!({"name": network, "type": "bridge", "ipam": {"type": "host-local"}});
    // Flannel's own directory; nothing else lies there.
    let _ = files.write(&format!("{DATA}/{}", attachment.sandbox), kept.to_string(), 0o600);
    Ok(addresses)
}

/// Takes back what ADD gave; what another plugin gave stays as it is.
pub(super) fn del(files: &HostFiles, network: &str, sandbox: &str) {
    files.remove(&format!("{DATA}/{sandbox}"));
    release(files, network, sandbox);
}

/// Addresses by a host-local IPAM section.
pub(super) fn host_local(
    files: &HostFiles,
    ipam: &Value,
    network: &str,
    sandbox: &str,
) -> Result<Vec<IpAddr>, String> {
    let ranges = ipam["ranges"].as_array().into_iter().flatten();
    let sets = ranges.filter_map(|set| set[0]["subnet"].as_str());
    let subnets: Vec<&str> = ipam["subnet"].as_str().into_iter().chain(sets).collect();
    subnets.into_iter().map(|subnet| reserve(files, network, subnet, sandbox)).collect()
}

/// The first free address behind the gateway's.
fn reserve(files: &HostFiles, network: &str, subnet: &str, sandbox: &str) -> Result<IpAddr, String> {
    let parsed: IpNet = subnet.parse().map_err(|_| format!("invalid subnet {subnet}"))?;
    let directory = format!("{RESERVATIONS}/{network}");
    let free = parsed
        .hosts()
        .skip(1)
        // A subnet of IPv6 has more addresses than any host has pods.
        .take(65_536)
        .find(|address| !files.exists(&format!("{directory}/{address}")));
    let address = free.ok_or_else(|| format!("no IP addresses available in range set: {subnet}"))?;
    files
        .write(&format!("{directory}/{address}"), format!("{sandbox}\r\neth0"), 0o644)
        .map_err(|error| error.to_string())?;
    Ok(address)
}

/// Gives back the addresses that a sandbox holds.
pub(super) fn release(files: &HostFiles, network: &str, sandbox: &str) {
    let directory = format!("{RESERVATIONS}/{network}");
    for name in files.list(&directory) {
        let path = format!("{directory}/{name}");
        if files.read_text(&path).is_some_and(|holder| holder.lines().next() == Some(sandbox)) {
            files.remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_from_the_subnet_file() {
        let files = HostFiles::new();
        let attachment = |id: &str| Attachment {
            node: "w1".into(),
            namespace: "default".into(),
            pod: "p".into(),
            sandbox: id.into(),
        };
        let error = add(&files, &json!({}), "cbr0", &attachment("a")).unwrap_err();
        assert!(error.contains("open /run/flannel/subnet.env: no such file or directory"), "{error}");
        files
            .write(SUBNET_FILE, "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n", 0o644)
            .unwrap();
        let error = add(&files, &json!({}), "cbr0", &attachment("a")).unwrap_err();
        assert_eq!(error, "failed to find plugin \"bridge\" in path [/opt/cni/bin]");
        for name in ["bridge", "host-local"] {
            files.write(&format!("/opt/cni/bin/{name}"), "", 0o755).unwrap();
        }
        let first = add(&files, &json!({}), "cbr0", &attachment("a")).unwrap();
        assert_eq!(first, ["10.244.1.2".parse::<IpAddr>().unwrap()]);
        let second = add(&files, &json!({}), "cbr0", &attachment("b")).unwrap();
        assert_eq!(second, ["10.244.1.3".parse::<IpAddr>().unwrap()]);
        del(&files, "cbr0", "a");
        assert_eq!(add(&files, &json!({}), "cbr0", &attachment("c")).unwrap(), first);
    }
}
