//! A cluster's range of addresses, cut into equal blocks.

use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Blocks of one size within one range, some of them taken.
#[derive(Debug)]
pub(crate) struct Blocks {
    range: IpNet,
    mask: u8,
    taken: BTreeSet<u128>,
    next: u128,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

impl Blocks {
    /// Cuts a range into blocks with this prefix length.
    pub(crate) fn new(range: IpNet, mask: u8) -> Result<Self, String> {
        let range = range.trunc();
        if mask < range.prefix_len() || mask > range.max_prefix_len() {
            return Err(format!(
                "the node CIDR size /{mask} does not fit the cluster CIDR {range}: it must lie between /{} and /{}",
                range.prefix_len(),
                range.max_prefix_len()
            ));
        }
        if range.max_prefix_len() == 128 && mask - range.prefix_len() > 16 {
            return Err("New CIDR set failed; the node CIDR size is too big".to_owned());
        }
        Ok(Self { range, mask, taken: BTreeSet::new(), next: 0 })
    }

    /// The whole range.
    pub(crate) fn range(&self) -> IpNet {
        self.range
    }

    fn bits(&self) -> u32 {
        u32::from(self.range.max_prefix_len() - self.mask)
    }

    fn count(&self) -> u128 {
        1 << (self.mask - self.range.prefix_len())
    }

    /// The blocks that a range touches, if it meets this one at all.
    fn touched(&self, cidr: IpNet) -> Option<std::ops::RangeInclusive<u128>> {
        let same = cidr.max_prefix_len() == self.range.max_prefix_len();
        if !same || !(self.range.contains(&cidr.network()) || cidr.contains(&self.range.network())) {
            return None;
        }
        let start = number(self.range.network());
        let at = |address: IpAddr| number(address).saturating_sub(start) >> self.bits();
        Some(at(cidr.network())..=at(cidr.broadcast()).min(self.count() - 1))
    }

    /// Takes the blocks that a range touches.
    pub(crate) fn occupy(&mut self, cidr: IpNet) -> Result<(), String> {
        let Some(touched) = self.touched(cidr) else {
            return Err(format!("cidr {cidr} is out the range of cluster cidr {}", self.range));
        };
        self.taken.extend(touched);
        Ok(())
    }

    /// Gives back the blocks that a range touches.
    pub(crate) fn release(&mut self, cidr: IpNet) {
        for block in self.touched(cidr).into_iter().flatten() {
            self.taken.remove(&block);
        }
    }

    /// Takes the next free block, going round.
    pub(crate) fn allocate(&mut self) -> Option<IpNet> {
        let count = self.count();
        let block =
            (0..count).map(|step| (self.next + step) % count).find(|one| !self.taken.contains(one))?;
        self.taken.insert(block);
        self.next = (block + 1) % count;
        let address = number(self.range.network()) + (block << self.bits());
        let address = match self.range {
            IpNet::V4(_) => IpAddr::from(u32::try_from(address).ok()?.to_be_bytes()),
            IpNet::V6(_) => IpAddr::from(address.to_be_bytes()),
        };
        IpNet::new(address, self.mask).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Blocks;

    #[test]
    fn blocks_are_given_out_in_turn_and_around_what_is_taken() {
        let mut blocks = Blocks::new("10.244.0.0/22".parse().unwrap(), 24).unwrap();
        blocks.occupy("10.244.1.0/24".parse().unwrap()).unwrap();
        let mut next = || blocks.allocate().map(|cidr| cidr.to_string());
        assert_eq!(next().as_deref(), Some("10.244.0.0/24"));
        assert_eq!(next().as_deref(), Some("10.244.2.0/24"));
        assert_eq!(next().as_deref(), Some("10.244.3.0/24"));
        assert_eq!(next(), None);
        blocks.release("10.244.2.0/24".parse().unwrap());
        assert_eq!(blocks.allocate().unwrap().to_string(), "10.244.2.0/24");
    }

    #[test]
    fn a_range_outside_is_refused_in_the_words_of_the_real_one() {
        let mut blocks = Blocks::new("10.244.0.0/16".parse().unwrap(), 24).unwrap();
        let refused = blocks.occupy("192.168.0.0/24".parse().unwrap()).unwrap_err();
        assert_eq!(refused, "cidr 192.168.0.0/24 is out the range of cluster cidr 10.244.0.0/16");
        assert!(blocks.occupy("10.0.0.0/8".parse().unwrap()).is_ok());
        assert_eq!(blocks.allocate(), None);
        let v6 = Blocks::new("fd00::/56".parse().unwrap(), 64).unwrap().allocate().unwrap();
        assert_eq!(v6.to_string(), "fd00::/64");
    }
}
