//! The ranges that Calico uses: pools and blocks.

use super::GROUPS;
use crate::object::Object;
use crate::state::Inventory;
use ipnet::IpNet;
use std::collections::BTreeSet;

/// The ranges of all pools.
pub fn pools(inventory: &Inventory) -> BTreeSet<IpNet> {
    cidrs(inventory, "IPPool")
}

/// The ranges of all blocks in use.
pub fn blocks(inventory: &Inventory) -> BTreeSet<IpNet> {
    cidrs(inventory, "IPAMBlock")
}

/// All pools as objects, without those that an aggregated API shows a second time.
pub fn pool_objects(inventory: &Inventory) -> impl Iterator<Item = &Object> {
    let group = if inventory.of("crd.projectcalico.org", "IPPool").next().is_some() {
        "crd.projectcalico.org"
    } else {
        "projectcalico.org"
    };
    inventory.of(group, "IPPool")
}

fn cidrs(inventory: &Inventory, kind: &str) -> BTreeSet<IpNet> {
    GROUPS
        .iter()
        .flat_map(|group| inventory.of(group, kind))
        .filter_map(|object| object.text("/spec/cidr"))
        .filter_map(|text| text.parse().ok())
        .collect()
}
