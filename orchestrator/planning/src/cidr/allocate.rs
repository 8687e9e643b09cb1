//! One podCIDR per replacement.

use super::first_overlap;
use ipnet::IpNet;

/// The network has no free subnet left.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{network} holds {capacity} subnets of /{mask}, and {needed} nodes need one each")]
pub struct Exhausted {
    /// The network.
    pub network: IpNet,
    /// The nodes' mask.
    pub mask: u8,
    /// How many subnets it holds that meet nothing in use.
    pub capacity: usize,
    /// How many are needed.
    pub needed: usize,
}

/// Hands out subnets of one network in ascending order.
#[derive(Debug)]
pub struct NodeCidrs {
    network: IpNet,
    mask: u8,
    used: Vec<IpNet>,
}

impl NodeCidrs {
    /// Subnets of `network` at `mask` that meet none of `used`.
    pub fn new(network: IpNet, mask: u8, used: Vec<IpNet>) -> Self {
        Self { network, mask, used }
    }

    /// The first `count` free subnets.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn take(&self, count: usize) -> Result<Vec<IpNet>, Exhausted> {
        let exhausted =
            |capacity| Exhausted { network: self.network, mask: self.mask, capacity, needed: count };
        let subnets = self.network.subnets(self.mask).map_err(|_| exhausted(0))?;
        let found: Vec<IpNet> =
            subnets.filter(|subnet| first_overlap(subnet, &self.used).is_none()).take(count).collect();
        if found.len() < count { Err(exhausted(found.len())) } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_too_small_says_how_many_it_holds() {
        let cidrs = NodeCidrs::new(net("10.9.0.0/23"), 24, vec![]);
        let error = cidrs.take(3).unwrap_err();
        assert_eq!(error.to_string(), "10.9.0.0/23 holds 2 subnets of /24, and 3 nodes need one each");
        assert!(NodeCidrs::new(net("10.9.0.0/25"), 24, vec![]).take(1).is_err());
    }

    proptest! {
        #[test]
        fn what_is_given_out_meets_nothing(used in prop::collection::vec((0u8..=255, 20u8..=28), 0..12), count in 1usize..40) {
            let used: Vec<IpNet> = used
                .into_iter()
                .map(|(third, prefix)| format!("10.244.{third}.0/{prefix}").parse::<IpNet>().unwrap().trunc())
                .collect();
            if let Ok(found) = NodeCidrs::new(net("10.244.0.0/16"), 24, used.clone()).take(count) {
                for (at, one) in found.iter().enumerate() {
                    prop_assert!(net("10.244.0.0/16").contains(one));
                    prop_assert!(first_overlap(one, &used).is_none());
                    prop_assert!(first_overlap(one, &found[..at]).is_none());
                }
            }
        }
    }
}
