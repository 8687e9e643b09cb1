//! The tags by which replank knows again what it made, and whom it made it for.

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use replank_provider_protocol::RunId;
use replank_provider_protocol::verbs::Mutation;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What all of ours begin with.
pub const PREFIX: &str = "replank.dev/";
/// The uid of the cluster that it was made for.
pub const CLUSTER: &str = "replank.dev/cluster";
/// The run that made it.
pub const RUN: &str = "replank.dev/run";
/// The node that it is, or was taken of.
pub const NODE: &str = "replank.dev/node";
/// Which of the allowed subnets and types it is in, counted from 0.
pub const ATTEMPT: &str = "replank.dev/attempt";
/// The machine that it takes the place of.
pub const REPLACES: &str = "replank.dev/replaces";
/// The newest epoch that changed it, as `CLUSTER:EPOCH`.
pub const EPOCH: &str = "replank.dev/epoch";
/// An effect on it, as `replank.dev/op/KEY`.
pub const OPERATION: &str = "replank.dev/op/";
/// How far a create has come in the list of subnets and types; on the old machine.
pub const TRIED: &str = "replank.dev/tried/";
/// The set of snapshots that one belongs to.
pub const SET: &str = "replank.dev/snapshot";
/// The machine that a snapshot was taken of.
pub const MACHINE: &str = "replank.dev/machine";
/// The device that a snapshot's or a kept volume is of.
pub const DEVICE: &str = "replank.dev/device";
/// The volume of a pod that a snapshot is of: no business of a restore.
pub const POD_VOLUME: &str = "replank.dev/pod-volume";
/// The Auto Scaling group that a new machine shall be in.
pub const GROUP: &str = "replank.dev/group";
/// The Auto Scaling group that a machine was taken out of.
pub const LEFT: &str = "replank.dev/left-group";
/// What of an Auto Scaling group is suspended; on the group.
pub const SUSPENDED: &str = "replank.dev/suspended";
/// A target group that a machine was in, as `replank.dev/target/NAME`.
pub const TARGET: &str = "replank.dev/target/";
/// A classic load balancer that a machine was in, as `replank.dev/classic/NAME`.
pub const CLASSIC: &str = "replank.dev/classic/";
/// The restore that a disk was made for.
pub const RESTORED: &str = "replank.dev/restored";
/// The restore that took a disk off its machine.
pub const DISPLACED: &str = "replank.dev/displaced";
/// The display name that the console shows.
pub const NAME: &str = "Name";

/// A short name of something, fit for a tag's key.
pub fn short(text: &str) -> String {
    let mut digest = hex::encode(Sha256::digest(text));
    digest.truncate(32);
    digest
}

/// The name of an operation in tags and client tokens: an id may hold what a tag can't, and two clusters may use
/// the same one.
pub fn key(mutation: &Mutation) -> String {
    short(&format!("{}\n{}", mutation.cluster, mutation.operation))
}

/// One tag.
pub fn tag(key: &str, value: impl Into<String>) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// Tags as a map.
pub fn map(tags: &[Tag]) -> BTreeMap<String, String> {
    let pair = |tag: &Tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()));
    tags.iter().filter_map(pair).collect()
}

/// A tag's value.
pub fn value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key.as_deref() == Some(key)).and_then(|tag| tag.value.as_deref())
}

/// The run that made a thing.
pub fn run(tags: &[Tag]) -> Option<RunId> {
    value(tags, RUN).map(RunId::new)
}

/// What tells whom a thing was made for.
pub fn owner(mutation: &Mutation, node: &str) -> Vec<Tag> {
    vec![tag(CLUSTER, &mutation.cluster), tag(RUN, mutation.run.as_str()), tag(NODE, node)]
}

/// Tags for one kind of thing that a call makes.
pub fn on(kind: ResourceType, tags: Vec<Tag>) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
}
