//! The cases, one file a group, in the order in which they run: reading first.

mod balancing;
mod creating;
mod deleting;
mod fencing;
mod greeting;
mod hosts;
mod killing;
mod listing;
mod naming;
mod powering;
mod reading;
mod rejoining;
mod snapshots;
mod wire;

use super::case::Case;

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    [
        greeting::CASES,
        wire::CASES,
        reading::CASES,
        creating::CASES,
        naming::CASES,
        listing::CASES,
        powering::CASES,
        deleting::CASES,
        snapshots::CASES,
        balancing::CASES,
        hosts::CASES,
        fencing::CASES,
        killing::CASES,
        rejoining::CASES,
    ]
    .into_iter()
    .flatten()
}
