//! Whether Flannel's packets can go from node to node: UDP 8472 (or the port that is set) through the security
//! groups of the new machines.

use crate::launch::Model;
use crate::provider::Greeted;
use crate::refusal::Refusal;
use crate::settings::Firewall;
use aws_sdk_ec2::types::{IpPermission, IpRange, SecurityGroup, UserIdGroupPair};
use replank_provider_protocol::{ErrorCode, ProviderError};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A range of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    network: u32,
    length: u32,
}

impl Range {
    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - self.length).unwrap_or(0)
    }

    /// Whether all addresses of another range are in this one.
    fn contains(self, other: Self) -> bool {
        self.length <= other.length && other.network & self.mask() == self.network & self.mask()
    }
}

impl FromStr for Range {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = text.split_once('/').ok_or(())?;
        let address: Ipv4Addr = address.parse().map_err(drop)?;
        let length = length.parse().map_err(drop)?;
        (length <= 32).then_some(Self { network: address.into(), length }).ok_or(())
    }
}

/// Which way a rule lets packets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Into,
    OutOf,
}

/// A rule that is missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gap {
    /// The group that lacks it.
    pub(crate) group: String,
    pub(crate) way: Way,
    /// The group at the other end.
    pub(crate) other: String,
}

impl Gap {
    fn told(&self, port: u16) -> String {
        let (from, to) = match self.way {
            Way::Into => (&self.other, &self.group),
            Way::OutOf => (&self.group, &self.other),
        };
        let at = match self.way {
            Way::Into => "ingress",
            Way::OutOf => "egress",
        };
        format!("UDP {port} from {from} to {to} ({at} of {})", self.group)
    }

    /// The rule that closes it.
    pub(crate) fn rule(&self, port: u16) -> IpPermission {
        let pair = UserIdGroupPair::builder()
            .group_id(&self.other)
            .description("replank: VXLAN between nodes")
            .build();
        IpPermission::builder()
            .ip_protocol("udp")
            .from_port(port.into())
            .to_port(port.into())
            .user_id_group_pairs(pair)
            .build()
    }
}

/// Whether a rule lets a UDP port through, between one of these groups and whoever the rule is of, or for a
/// range that holds all of these.
fn lets_through(rule: &IpPermission, port: u16, others: &[String], ranges: &[Range]) -> bool {
    let port = i32::from(port);
    let protocol = match rule.ip_protocol.as_deref() {
        Some("-1") => true,
        Some("udp" | "17") => {
            rule.from_port.is_some_and(|from| from <= port) && rule.to_port.is_some_and(|to| to >= port)
        }
        _ => false,
    };
    let by_group = || {
        rule.user_id_group_pairs()
            .iter()
            .any(|pair| pair.group_id.as_ref().is_some_and(|group| others.contains(group)))
    };
    let by_range = || {
        let given: Vec<Range> = rule
            .ip_ranges()
            .iter()
            .filter_map(|range: &IpRange| range.cidr_ip.as_ref()?.parse().ok())
            .collect();
        !ranges.is_empty() && ranges.iter().all(|range| given.iter().any(|given| given.contains(*range)))
    };
    protocol && (by_group() || by_range())
}

/// The rules that are missing between machines of these groups and of each peer.
fn gaps(
    own: &[String],
    peers: &[String],
    known: &BTreeMap<String, SecurityGroup>,
    port: u16,
    ranges: &[Range],
) -> Vec<Gap> {
    let mut ways: Vec<(Vec<String>, Vec<String>)> = vec![(own.to_vec(), own.to_vec())];
    for peer in peers.iter().filter(|peer| !own.contains(peer)) {
        ways.push((vec![peer.clone()], own.to_vec()));
        ways.push((own.to_vec(), vec![peer.clone()]));
    }
    let mut missing = BTreeSet::new();
    for (from, to) in ways {
        let (Some(first_from), Some(first_to)) = (from.first(), to.first()) else { continue };
        let of = |groups: &[String]| groups.iter().filter_map(|group| known.get(group)).collect::<Vec<_>>();
        let into = of(&to)
            .iter()
            .any(|group| group.ip_permissions().iter().any(|r| lets_through(r, port, &from, ranges)));
        if !into {
            missing.insert(Gap { group: first_to.clone(), way: Way::Into, other: first_from.clone() });
        }
        let out = of(&from)
            .iter()
            .any(|group| group.ip_permissions_egress().iter().any(|r| lets_through(r, port, &to, ranges)));
        if !out {
            missing.insert(Gap { group: first_from.clone(), way: Way::OutOf, other: first_to.clone() });
        }
    }
    missing.into_iter().collect()
}

impl Greeted {
    /// The rules that are missing for machines of this model.
    ///
    /// # Errors
    /// When the groups can't be known, or rules are missing and nobody asked for them to be made.
    pub(crate) async fn vxlan_gaps(&self, model: &Model) -> Result<Vec<Gap>, ProviderError> {
        let vxlan = &self.settings.vxlan;
        if vxlan.firewall == Firewall::Leave {
            return Ok(Vec::new());
        }
        let invalid = |message: String| Err(ProviderError::lasting(ErrorCode::Invalid, message));
        if model.groups.is_empty() {
            return invalid(
                "the launch template names no security groups, so whether UDP 8472 is open between nodes can't be \
                 known: set `securityGroups`, or `vxlan.firewall: leave`, in provider.settings"
                    .into(),
            );
        }
        let mut ids = model.groups.clone();
        ids.extend(vxlan.peers.iter().filter(|peer| !model.groups.contains(peer)).cloned());
        let found = self.account.ec2.describe_security_groups().set_group_ids(Some(ids)).send().await;
        let found = found.map_err(|e| {
            Refusal::of("ec2:DescribeSecurityGroups", &e).about("the security groups can't be looked up")
        })?;
        let known: BTreeMap<String, SecurityGroup> = found
            .security_groups
            .unwrap_or_default()
            .into_iter()
            .filter_map(|group| Some((group.group_id.clone()?, group)))
            .collect();
        let missing = gaps(&model.groups, &vxlan.peers, &known, vxlan.port, &model.ranges);
        if missing.is_empty() || vxlan.firewall == Firewall::Open {
            return Ok(missing);
        }
        let told: Vec<_> = missing.iter().map(|gap| gap.told(vxlan.port)).collect();
        invalid(format!(
            "Flannel's packets between nodes would be lost, since the security groups don't let through {}: open it, \
             or set `vxlan.firewall: open` in provider.settings",
            told.join(", ")
        ))
    }

    /// Makes the rules that are missing. They stay: Flannel needs them as long as there is a node.
    ///
    /// # Errors
    /// When EC2 does not take one.
    pub(crate) async fn open_vxlan(&self, gaps: &[Gap]) -> Result<(), ProviderError> {
        for gap in gaps {
            let rule = gap.rule(self.settings.vxlan.port);
            let ec2 = &self.account.ec2;
            let opened = match gap.way {
                Way::Into => {
                    let request = ec2.authorize_security_group_ingress().group_id(&gap.group);
                    let opened = request.ip_permissions(rule).send().await.map(drop);
                    opened.map_err(|e| Refusal::of("ec2:AuthorizeSecurityGroupIngress", &e))
                }
                Way::OutOf => {
                    let request = ec2.authorize_security_group_egress().group_id(&gap.group);
                    let opened = request.ip_permissions(rule).send().await.map(drop);
                    opened.map_err(|e| Refusal::of("ec2:AuthorizeSecurityGroupEgress", &e))
                }
            };
            if let Err(refusal) = opened
                && !refusal.is("InvalidPermission.Duplicate")
            {
                let what = format!("{} can't be opened", gap.told(self.settings.vxlan.port));
                return Err(refusal.about(&what));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_is_within_it() {
        let range = |text: &str| text.parse::<Range>().expect(text);
        assert!(range("0.0.0.0/0").contains(range("10.0.0.0/24")));
        assert!(range("10.0.0.0/16").contains(range("10.0.255.0/24")));
        assert!(range("10.0.0.7/32").contains(range("10.0.0.7/32")));
        assert!(!range("10.0.0.0/24").contains(range("10.0.0.0/16")));
        assert!(!range("10.0.0.0/24").contains(range("10.0.1.0/24")));
        for text in ["10.0.0.0", "10.0.0.0/33", "2001:db8::/32", ""] {
            assert_eq!(text.parse::<Range>(), Err(()), "{text}");
        }
    }
}
