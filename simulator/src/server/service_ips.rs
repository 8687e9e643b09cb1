//! The ranges Services get their addresses from.

use super::names::Names;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

/// The addresses of Services: one range, or one of each family.
#[derive(Debug, Clone)]
pub(crate) struct ServiceRange {
    nets: Vec<IpNet>,
}

impl Default for ServiceRange {
    fn default() -> Self {
        Self { nets: vec![IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 0)), 12)] }
    }
}

/// The name of a range's family.
fn family_of(net: &IpNet) -> &'static str {
    if matches!(net, IpNet::V4(_)) { "IPv4" } else { "IPv6" }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn nth(net: &IpNet, host: u128) -> Option<String> {
    let address = number(net.network()).checked_add(host)?;
    Some(match net {
        IpNet::V4(_) => Ipv4Addr::from(u32::try_from(address).ok()?).to_string(),
        IpNet::V6(_) => std::net::Ipv6Addr::from(address).to_string(),
    })
}

impl ServiceRange {
    /// The first range is the primary one.
    pub(crate) fn new(nets: Vec<IpNet>) -> Self {
        Self { nets }
    }

    /// The families, the primary one first.
    pub(crate) fn families(&self) -> Vec<&'static str> {
        self.nets.iter().map(family_of).collect()
    }

    pub(crate) fn contains(&self, ip: &str) -> bool {
        ip.parse::<IpAddr>().is_ok_and(|ip| self.nets.iter().any(|net| net.contains(&ip)))
    }

    /// The first address, that of `default/kubernetes`.
    pub(crate) fn first(&self) -> String {
        self.nets.first().and_then(|net| nth(net, 1)).unwrap_or_default()
    }

    /// A free address of a family from the upper part of its range, where dynamic ones come from.
    pub(crate) fn next(
        &self,
        family: &str,
        names: &mut Names,
        taken: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let net = self.nets.iter().find(|net| family_of(net) == family)?;
        let size = number(net.broadcast()) - number(net.network());
        // No range of Services is used up to its end; numbers of 64 bits are enough.
        let size = u64::try_from(size).unwrap_or(u64::MAX);
        let offset = size.min(256).min(size / 16).max(1);
        let span = size.saturating_sub(offset).max(1);
        let start = names.below(span);
        (0..span).find_map(|step| {
            let host = offset + (start + step) % span;
            nth(net, u128::from(host)).filter(|ip| !taken(ip))
        })
    }
}
