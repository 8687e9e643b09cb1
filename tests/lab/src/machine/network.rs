//! The lab's network: one bridge, an address for each machine.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// The bridge's own address: every machine's gateway, and the load balancer's.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);

const FIRST: u8 = 10;
const LAST: u8 = 250;

/// The first address that no machine has, one that is off included.
pub(crate) fn free(taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    (FIRST..=LAST).map(|host| Ipv4Addr::new(10, 200, 0, host)).find(|address| !taken.contains(address))
}
