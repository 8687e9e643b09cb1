//! Giving addresses of Calico's address management back.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::calico::Datastore;
use super::ipam::{RACES, block_name};
use crate::machines::api::ApiFailure;

/// Frees every address that a handle holds, and the handle.
pub(crate) async fn release(datastore: &Datastore, handle: &str) -> Result<(), ApiFailure> {
    let path = format!("{}/ipamhandles/{}", datastore.group, handle.to_lowercase());
    let Some(object) = datastore.api.find(&path).await? else { return Ok(()) };
    for cidr in object["spec"]["block"].as_object().into_iter().flatten().map(|(cidr, _)| cidr) {
        if let Ok(cidr) = cidr.parse::<IpNet>() {
            release_in_block(datastore, &cidr, handle).await?;
        }
    }
    datastore.api.delete(&path, &json!({})).await
}

async fn release_in_block(datastore: &Datastore, cidr: &IpNet, handle: &str) -> Result<(), ApiFailure> {
    let path = format!("{}/ipamblocks/{}", datastore.group, block_name(cidr));
    for _ in 0..RACES {
        let Some(mut block) = datastore.api.find(&path).await? else { return Ok(()) };
        if !free(&mut block["spec"], handle) {
            return Ok(());
        }
        match datastore.api.update(&path, &block).await {
            Err(failure) if failure.is_conflict() => {}
            other => return other.map(|_| ()),
        }
    }
    Ok(())
}

/// Takes a handle's addresses out of a block; `false` if it had none.
fn free(spec: &mut Value, handle: &str) -> bool {
    let attributes = spec["attributes"].as_array().cloned().unwrap_or_default();
    let ours: BTreeSet<u64> = (0_u64..)
        .zip(&attributes)
        .filter(|(_, attribute)| attribute["handle_id"] == handle)
        .map(|(index, _)| index)
        .collect();
    if ours.is_empty() {
        return false;
    }
    let left: Vec<(u64, Value)> =
        (0_u64..).zip(attributes).filter(|(index, _)| !ours.contains(index)).collect();
    let mut freed = Vec::new();
    for (ordinal, allocation) in spec["allocations"].as_array_mut().into_iter().flatten().enumerate() {
        let Some(index) = allocation.as_u64() else { continue };
        match left.iter().position(|(old, _)| *old == index) {
            Some(new) => *allocation = json!(new),
            None => {
                *allocation = Value::Null;
                freed.push(json!(ordinal));
            }
        }
    }
    // A freed address waits behind all others before it is used again.
    if let Some(unallocated) = spec["unallocated"].as_array_mut() {
        unallocated.extend(freed);
    }
    spec["attributes"] = left.into_iter().map(|(_, attribute)| attribute).collect();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freeing_keeps_the_other_allocations() {
        let mut spec = json!({
            "allocations": [0, 1, null, 2],
            "attributes": [{"handle_id": "a"}, {"handle_id": "b"}, {"handle_id": "c"}],
            "unallocated": [2],
        });
        assert!(free(&mut spec, "b"));
        assert_eq!(spec["allocations"], json!([0, null, null, 1]));
        assert_eq!(spec["attributes"], json!([{"handle_id": "a"}, {"handle_id": "c"}]));
        assert_eq!(spec["unallocated"], json!([2, 1]));
        assert!(!free(&mut spec, "b"));
    }
}
