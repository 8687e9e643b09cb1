//! A range for the new network, when the operator names none.

use super::first_overlap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Every candidate meets a range in use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no free private /{prefix} is left for the new pod network; name one with --pod-cidr")]
pub struct NoFreeRange {
    /// The prefix length that was looked for.
    pub prefix: u8,
}

/// The first free /16 (or longer prefix): Flannel's customary range first, then the rest of
/// 10.0.0.0/8 upwards from there, then 172.16.0.0/12 and 192.168.0.0/16.
///
/// # Errors
/// When every candidate meets a range in use.
pub fn choose_ipv4(prefix: u8, used: &[IpNet]) -> Result<IpNet, NoFreeRange> {
    let tens = (244..=255).chain(0..244).map(|second| Ipv4Addr::new(10, second, 0, 0));
    let seventeens = (16..32).map(|second| Ipv4Addr::new(172, second, 0, 0));
    tens.chain(seventeens)
        .filter_map(|start| Ipv4Net::new(start, prefix.max(16)).ok())
        .map(IpNet::V4)
        .find(|candidate| first_overlap(candidate, used).is_none())
        .ok_or(NoFreeRange { prefix })
}

/// The first free /48 of the unique local range, beside Flannel's customary one.
///
/// # Errors
/// When every candidate meets a range in use.
pub fn choose_ipv6(prefix: u8, used: &[IpNet]) -> Result<IpNet, NoFreeRange> {
    (0xf0..=0xffff_u16)
        .filter_map(|part| {
            Ipv6Net::new(Ipv6Addr::new(0xfd00, 0x10, part, 0, 0, 0, 0, 0), prefix.max(48)).ok()
        })
        .map(IpNet::V6)
        .find(|candidate| first_overlap(candidate, used).is_none())
        .ok_or(NoFreeRange { prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn flannels_customary_range_is_taken_when_it_is_free() {
        assert_eq!(choose_ipv4(16, &ranges(&["192.168.0.0/16"])).unwrap().to_string(), "10.244.0.0/16");
    }

    #[test]
    fn canals_range_is_not_taken_twice() {
        assert_eq!(choose_ipv4(16, &ranges(&["10.244.0.0/16"])).unwrap().to_string(), "10.245.0.0/16");
    }

    #[test]
    fn a_full_private_space_is_said_so() {
        let used = ranges(&["10.0.0.0/8", "172.16.0.0/12"]);
        assert_eq!(choose_ipv4(16, &used), Err(NoFreeRange { prefix: 16 }));
    }
}
