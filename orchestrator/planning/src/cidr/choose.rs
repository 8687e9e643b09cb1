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

/// The private ranges that one for pods is looked for in (RFC 1918).
const PRIVATE_V4: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
];
/// The part of the unique local range that Flannel's customary one lies in.
const LOCAL_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 0), 32);
/// No wider than this as long as it holds the nodes.
const CUSTOMARY_V4: u8 = 16;
const CUSTOMARY_V6: u8 = 48;

/// The first free range that holds a subnet of `mask` for each of `nodes`: Flannel's customary /16 first, then the
/// rest of 10.0.0.0/8 upwards from there, then 172.16.0.0/12 and 192.168.0.0/16.
///
/// # Errors
/// When every candidate meets a range in use.
pub fn choose_ipv4(mask: u8, nodes: usize, used: &[IpNet]) -> Result<IpNet, NoFreeRange> {
    let tens = (244..=255).chain(0..244).map(|second| Ipv4Addr::new(10, second, 0, 0));
    let seventeens = (16..32).map(|second| Ipv4Addr::new(172, second, 0, 0));
    let starts = tens.chain(seventeens).chain([Ipv4Addr::new(192, 168, 0, 0)]);
    let prefix = prefix(mask, nodes, mask.saturating_sub(8).max(CUSTOMARY_V4));
    starts
        .filter_map(|start| Some(Ipv4Net::new(start, prefix).ok()?.trunc()))
        .filter(|candidate| PRIVATE_V4.iter().any(|private| private.contains(candidate)))
        .map(IpNet::V4)
        .find(|candidate| first_overlap(candidate, used).is_none())
        .ok_or(NoFreeRange { prefix })
}

/// The first free /48 of the unique local range, beside Flannel's customary one; a wider range where that holds too
/// few subnets of `mask` for `nodes`.
///
/// # Errors
/// When every candidate meets a range in use.
pub fn choose_ipv6(mask: u8, nodes: usize, used: &[IpNet]) -> Result<IpNet, NoFreeRange> {
    let prefix = prefix(mask, nodes, mask.saturating_sub(16).max(CUSTOMARY_V6));
    (0xf0..=0xffff_u16)
        .map(|part| Ipv6Addr::new(0xfd00, 0x10, part, 0, 0, 0, 0, 0))
        .filter_map(|start| Some(Ipv6Net::new(start, prefix).ok()?.trunc()))
        .filter(|candidate| LOCAL_V6.contains(candidate))
        .map(IpNet::V6)
        .find(|candidate| first_overlap(candidate, used).is_none())
        .ok_or(NoFreeRange { prefix })
}

/// The customary prefix, or a shorter one where that leaves too few subnets of `mask`.
fn prefix(mask: u8, nodes: usize, customary: u8) -> u8 {
    let bits = nodes.next_power_of_two().trailing_zeros();
    customary.min(mask.saturating_sub(u8::try_from(bits).unwrap_or(u8::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    /// The range for so many nodes with a /24 each.
    fn v4(nodes: usize, used: &[&str]) -> String {
        choose_ipv4(24, nodes, &ranges(used)).unwrap().to_string()
    }

    #[test]
    fn flannels_customary_range_is_taken_when_it_is_free() {
        assert_eq!(v4(3, &["192.168.0.0/16"]), "10.244.0.0/16");
    }

    #[test]
    fn canals_range_is_not_taken_twice() {
        assert_eq!(v4(3, &["10.244.0.0/16"]), "10.245.0.0/16");
    }

    #[test]
    fn the_last_private_range_is_tried_too() {
        assert_eq!(v4(3, &["10.0.0.0/8", "172.16.0.0/12"]), "192.168.0.0/16");
    }

    #[test]
    fn a_full_private_space_is_said_so() {
        let used = ranges(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]);
        assert_eq!(choose_ipv4(24, 3, &used), Err(NoFreeRange { prefix: 16 }));
        assert_eq!(choose_ipv4(24, 300, &used), Err(NoFreeRange { prefix: 15 }));
    }

    #[test]
    fn many_nodes_get_a_wider_range() {
        assert_eq!(v4(256, &[]), "10.244.0.0/16");
        assert_eq!(v4(257, &[]), "10.244.0.0/15");
        assert_eq!(v4(257, &["10.244.3.0/24"]), "10.246.0.0/15");
        assert_eq!(v4(2000, &["10.0.0.0/8"]), "172.16.0.0/13");
    }

    #[test]
    fn small_masks_need_no_wider_range() {
        assert_eq!(choose_ipv4(26, 3, &[]).unwrap().to_string(), "10.244.0.0/18");
        assert_eq!(choose_ipv6(64, 3, &[]).unwrap().to_string(), "fd00:10:f0::/48");
        assert_eq!(choose_ipv6(56, 256, &[]).unwrap().to_string(), "fd00:10:f0::/48");
        let services = ranges(&["fd00:10:96::/112"]);
        assert_eq!(choose_ipv6(56, 257, &services).unwrap().to_string(), "fd00:10:f0::/47");
    }
}
