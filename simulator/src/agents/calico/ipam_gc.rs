//! Addresses and blocks of nodes that are gone.

use crate::server::Object;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::machines::api::{ApiFailure, text};
use crate::machines::cni::calico::Datastore;
use crate::machines::cni::release::release;

/// The names of some objects.
pub(super) fn names(objects: &[Object]) -> BTreeSet<String> {
    objects.iter().map(|object| text(object, "/metadata/name").to_owned()).collect()
}

/// Releases what nodes hold that are not among these. `false` if some of it has to wait, because
/// pods of such a node are still there.
pub(super) async fn collect(datastore: &Datastore, nodes: &BTreeSet<String>) -> Result<bool, ApiFailure> {
    let (blocks, _) = datastore.api.list(&format!("{}/ipamblocks", datastore.group)).await?;
    let (affinities, _) = datastore.api.list(&format!("{}/blockaffinities", datastore.group)).await?;
    let mut gone: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for affinity in &affinities {
        let node = text(affinity, "/spec/node");
        if !nodes.contains(node) && text(affinity, "/spec/type") != "virtual" {
            gone.entry(node.to_owned()).or_default();
        }
    }
    for attribute in blocks.iter().flat_map(|block| attributes(block)) {
        let node = text(attribute, "/secondary/node");
        if !node.is_empty() && !nodes.contains(node) {
            gone.entry(node.to_owned()).or_default().insert(text(attribute, "/handle_id").to_owned());
        }
    }
    let mut complete = true;
    for (node, handles) in gone {
        if has_pods(datastore, &node).await? {
            complete = false;
            continue;
        }
        for handle in handles {
            release(datastore, &handle).await?;
        }
        for affinity in affinities.iter().filter(|affinity| text(affinity, "/spec/node") == node) {
            release_block(datastore, &node, affinity).await?;
        }
    }
    Ok(complete)
}

/// Whether pods with an address of the pod network are still said to be on a node.
async fn has_pods(datastore: &Datastore, node: &str) -> Result<bool, ApiFailure> {
    let (pods, _) = datastore.api.list(&format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}")).await?;
    Ok(pods
        .iter()
        .filter(|pod| pod["spec"]["hostNetwork"] != true && !text(pod, "/status/podIP").is_empty())
        .any(|pod| !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")))
}

fn attributes(block: &Value) -> impl Iterator<Item = &Value> {
    block["spec"]["attributes"].as_array().into_iter().flatten()
}

/// Gives a block back: deletes it if it is empty, else only ends its affinity, since other nodes
/// have borrowed from it.
async fn release_block(datastore: &Datastore, node: &str, affinity: &Value) -> Result<(), ApiFailure> {
    let cidr = text(affinity, "/spec/cidr");
    let path = format!("{}/ipamblocks/{}", datastore.group, cidr.replace(['.', ':', '/'], "-"));
    if let Some(mut block) = datastore.api.find(&path).await?
        && text(&block, "/spec/affinity") == format!("host:{node}")
    {
        let used = block["spec"]["allocations"].as_array().into_iter().flatten().any(Value::is_number);
        let version = block["metadata"]["resourceVersion"].clone();
        if used {
            if let Some(spec) = block["spec"].as_object_mut() {
                spec.remove("affinity");
            }
            datastore.api.update(&path, &block).await?;
        } else {
            datastore.api.delete(&path, &json!({"preconditions": {"resourceVersion": version}})).await?;
        }
    }
    let path = format!("{}/blockaffinities/{}", datastore.group, text(affinity, "/metadata/name"));
    datastore.api.delete(&path, &json!({"preconditions": {"uid": affinity["metadata"]["uid"]}})).await
}
