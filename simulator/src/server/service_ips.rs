//! The range Services get their addresses from.

use super::names::Names;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// The addresses of Services.
#[derive(Debug, Clone)]
pub(crate) struct ServiceRange {
    net: Ipv4Net,
}

impl Default for ServiceRange {
    fn default() -> Self {
        Self { net: Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12) }
    }
}

impl ServiceRange {
    pub(crate) fn new(net: Ipv4Net) -> Self {
        Self { net }
    }

    pub(crate) fn contains(&self, ip: &str) -> bool {
        ip.parse::<Ipv4Addr>().is_ok_and(|ip| self.net.contains(&ip))
    }

    /// The first address, that of `default/kubernetes`.
    pub(crate) fn first(&self) -> String {
        Ipv4Addr::from(u32::from(self.net.network()) + 1).to_string()
    }

    /// A free address from the upper part of the range, where dynamic ones come from.
    pub(crate) fn next(&self, names: &mut Names, taken: impl Fn(&str) -> bool) -> Option<String> {
        let size = u64::from(u32::from(self.net.broadcast()) - u32::from(self.net.network()));
        let offset = size.min(256).min(size / 16).max(1);
        let span = size.saturating_sub(offset).max(1);
        let start = names.below(span);
        (0..span).find_map(|step| {
            let host = offset + (start + step) % span;
            let ip = Ipv4Addr::from(u32::from(self.net.network()) + u32::try_from(host).ok()?).to_string();
            (!taken(&ip)).then_some(ip)
        })
    }
}
