//! Calico's address management, as the objects in the API that it is made of: blocks of a pool
//! with an affinity to a node, and a handle for every sandbox.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Attachment;
use super::calico::Datastore;
use super::release::release;
use crate::clock::Clock;
use crate::machines::api::{ApiFailure, text};

/// How often a lost race with another writer is tried again.
pub(super) const RACES: usize = 16;

struct Pool {
    cidr: IpNet,
    block_size: u8,
}

/// Among how many of a pool's blocks nodes begin: as many as there are of the default size in the default pool.
const BEGINNINGS: usize = 1_024;

impl Pool {
    /// All blocks of the pool in the order in which a node tries them: from a place that its name decides, and around.
    /// Nodes that start at one time don't fight over the same blocks so; where each begins is Go's secret in the
    /// original (`randomBlockGenerator` in libcalico-go's `ipam_block_reader_writer.go`).
    fn blocks_for(&self, node: &str) -> impl Iterator<Item = IpNet> {
        let (cidr, size) = (self.cidr, self.block_size);
        // A pool smaller than a block has none.
        let blocks = move || cidr.subnets(size).into_iter().flatten();
        let first = fnv1(node) as usize % blocks().take(BEGINNINGS).count().max(1);
        blocks().skip(first).chain(blocks().take(first))
    }
}

/// The FNV-1 hash of a name, in 32 bits.
fn fnv1(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash: u32, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(byte))
}

/// Which node a block belongs to. Every sandbox looks through all of them, so that nothing else of
/// them is read.
#[derive(Deserialize)]
struct Affinity {
    spec: AffinitySpec,
}

#[derive(Deserialize)]
struct AffinitySpec {
    #[serde(default)]
    cidr: String,
    #[serde(default)]
    deleted: Value,
    #[serde(default)]
    node: String,
}

/// For whom an address is wanted.
struct Claimant<'a> {
    node: &'a str,
    handle: &'a str,
    /// What the allocation says of itself.
    attributes: Value,
}

/// Addresses for a sandbox, one of each wanted family.
pub(super) async fn assign(
    datastore: &Datastore,
    conf: &Value,
    handle: &str,
    attachment: &Attachment,
    clock: &Clock,
) -> Result<Vec<IpAddr>, String> {
    let wanted = |key: &str, default: bool| match &conf[key] {
        Value::Bool(wanted) => *wanted,
        Value::String(text) => text == "true",
        _ => default,
    };
    let claimant = Claimant {
        node: &attachment.node,
        handle,
        attributes: json!({
            "namespace": attachment.namespace,
            "node": attachment.node,
            "pod": attachment.pod,
            "timestamp": clock.now_rfc3339(),
        }),
    };
    let mut addresses = Vec::new();
    for (v4, wanted) in [(true, wanted("assign_ipv4", true)), (false, wanted("assign_ipv6", false))] {
        if !wanted {
            continue;
        }
        let pools = pools(datastore, &attachment.node, v4, |pool| may(pool, "Workload"))
            .await
            .map_err(|failure| failure.to_string())?;
        if pools.is_empty() {
            return Err("failed to request IPv4 addresses: no configured Calico pools for node ".to_owned()
                + &attachment.node);
        }
        match assign_from(datastore, &pools, &claimant).await {
            Ok(Some(address)) => addresses.push(address),
            Ok(None) => {
                return Err(
                    "no more free blocks and strict affinity is enabled, or no free address".to_owned()
                );
            }
            Err(failure) => return Err(failure.to_string()),
        }
    }
    Ok(addresses)
}

/// The address of a node's tunnel device, out of the pools that are encapsulated by `mode` (the
/// field of the pool that says so). A node keeps the one that it has. `None` if no pool has room.
pub(crate) async fn tunnel_address(
    datastore: &Datastore,
    node: &str,
    mode: &str,
    (handle, kind): (&str, &str),
) -> Result<Option<IpAddr>, ApiFailure> {
    let encapsulated =
        |pool: &Value| may(pool, "Tunnel") && matches!(pool[mode].as_str(), Some("Always" | "CrossSubnet"));
    let pools = pools(datastore, node, true, encapsulated).await?;
    if let Some(held) = held(datastore, handle).await? {
        if pools.iter().any(|pool| pool.cidr.contains(&held)) {
            return Ok(Some(held));
        }
        release(datastore, handle).await?;
    }
    let claimant = Claimant { node, handle, attributes: json!({"node": node, "type": kind}) };
    assign_from(datastore, &pools, &claimant).await
}

/// The address that a handle holds.
async fn held(datastore: &Datastore, handle: &str) -> Result<Option<IpAddr>, ApiFailure> {
    let path = format!("{}/ipamhandles/{}", datastore.group, handle.to_lowercase());
    let Some(object) = datastore.api.find(&path).await? else { return Ok(None) };
    for cidr in object["spec"]["block"].as_object().into_iter().flatten().map(|(cidr, _)| cidr) {
        let Ok(cidr) = cidr.parse::<IpNet>() else { continue };
        let path = format!("{}/ipamblocks/{}", datastore.group, block_name(&cidr));
        let Some(block) = datastore.api.find(&path).await? else { continue };
        let attributes = block["spec"]["attributes"].as_array().into_iter().flatten();
        let Some(index) = attributes.into_iter().position(|one| one["handle_id"] == handle) else { continue };
        let allocations = block["spec"]["allocations"].as_array().into_iter().flatten();
        let ordinal = allocations.into_iter().position(|one| one.as_u64() == Some(index as u64));
        if let Some(ordinal) = ordinal {
            return Ok(nth(&cidr, ordinal as u64));
        }
    }
    Ok(None)
}

/// Whether a pool may be used for this.
fn may(pool: &Value, purpose: &str) -> bool {
    pool["allowedUses"].as_array().is_none_or(|uses| uses.is_empty() || uses.iter().any(|u| u == purpose))
}

/// The open pools of one family that this node may use.
async fn pools(
    datastore: &Datastore,
    node: &str,
    v4: bool,
    fits: impl Fn(&Value) -> bool,
) -> Result<Vec<Pool>, ApiFailure> {
    let (pools, _) = datastore.api.list(&format!("{}/ippools", datastore.group)).await?;
    let mut usable = Vec::new();
    let mut labels = None;
    for pool in pools {
        let spec = &pool["spec"];
        let Ok(cidr) = text(spec, "/cidr").parse::<IpNet>() else { continue };
        if spec["disabled"] == true || !fits(spec) || matches!(cidr, IpNet::V4(_)) != v4 {
            continue;
        }
        if !pool["metadata"]["deletionTimestamp"].is_null() || text(spec, "/assignmentMode") == "Manual" {
            continue;
        }
        let selector = text(spec, "/nodeSelector");
        if !matches!(selector, "" | "all()") {
            if labels.is_none() {
                labels = Some(
                    datastore.api.get(&format!("/api/v1/nodes/{node}")).await?["metadata"]["labels"].take(),
                );
            }
            if !selects(selector, labels.as_ref().unwrap_or(&Value::Null)) {
                continue;
            }
        }
        let default = if v4 { 26 } else { 122 };
        let block_size = spec["blockSize"].as_u64().filter(|size| *size > 0).unwrap_or(default) as u8;
        usable.push(Pool { cidr, block_size });
    }
    Ok(usable)
}

/// Whether a selector of Calico's small language holds: terms joined by `&&`, each `has(key)`,
/// `!has(key)`, `key == 'value'`, `key != 'value'` or `all()`.
fn selects(selector: &str, labels: &Value) -> bool {
    selector.split("&&").map(str::trim).all(|term| {
        let label = |key: &str| labels[key.trim()].as_str();
        let quoted = |value: &str| value.trim().trim_matches(['\'', '"']).to_owned();
        let inside = |term: &str, before: &str| {
            term.strip_prefix(before).and_then(|rest| rest.strip_suffix(')')).map(str::to_owned)
        };
        if term == "all()" || term.is_empty() {
            true
        } else if let Some(key) = inside(term, "!has(") {
            label(&key).is_none()
        } else if let Some(key) = inside(term, "has(") {
            label(&key).is_some()
        } else if let Some((key, value)) = term.split_once("==") {
            label(key) == Some(quoted(value).as_str())
        } else if let Some((key, value)) = term.split_once("!=") {
            label(key) != Some(quoted(value).as_str())
        } else {
            false
        }
    })
}

pub(super) fn block_name(cidr: &IpNet) -> String {
    cidr.to_string().replace(['.', ':', '/'], "-")
}

async fn assign_from(
    datastore: &Datastore,
    pools: &[Pool],
    claimant: &Claimant<'_>,
) -> Result<Option<IpAddr>, ApiFailure> {
    let group = datastore.group;
    let (affinities, _) = datastore.api.list_as::<Affinity>(&format!("{group}/blockaffinities")).await?;
    let mine = affinities.iter().map(|affinity| &affinity.spec);
    for affinity in mine.filter(|spec| spec.node == claimant.node && spec.deleted != "true") {
        let Ok(cidr) = affinity.cidr.parse::<IpNet>() else { continue };
        if !pools.iter().any(|pool| pool.cidr.contains(&cidr)) {
            continue;
        }
        if let Some(address) = assign_in_block(datastore, cidr, claimant).await? {
            return Ok(Some(address));
        }
    }
    for pool in pools {
        while let Some(cidr) = claim(datastore, pool, claimant.node).await? {
            if let Some(address) = assign_in_block(datastore, cidr, claimant).await? {
                return Ok(Some(address));
            }
        }
    }
    Ok(None)
}

/// Makes a free block of the pool the node's own.
async fn claim(datastore: &Datastore, pool: &Pool, node: &str) -> Result<Option<IpNet>, ApiFailure> {
    let group = datastore.group;
    let (blocks, _) = datastore.api.list(&format!("{group}/ipamblocks")).await?;
    let mut taken: BTreeSet<String> =
        blocks.iter().map(|block| text(block, "/spec/cidr").to_owned()).collect();
    for cidr in pool.blocks_for(node) {
        if taken.contains(&cidr.to_string()) {
            continue;
        }
        let size = 1_usize << (if matches!(cidr, IpNet::V4(_)) { 32 } else { 128 } - pool.block_size);
        let kind = |kind: &str, name: String, spec: Value| {
            let version = group.trim_start_matches("/apis/");
            json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec})
        };
        let affinity = format!("{}-{}", node, block_name(&cidr));
        let spec = json!({"cidr": cidr.to_string(), "deleted": "false", "node": node, "state": "pending"});
        datastore
            .api
            .ensure(&format!("{group}/blockaffinities"), &kind("BlockAffinity", affinity.clone(), spec))
            .await?;
        let spec = json!({
            "affinity": format!("host:{}", node),
            "allocations": vec![Value::Null; size],
            "attributes": [],
            "cidr": cidr.to_string(),
            "deleted": false,
            "strictAffinity": false,
            "unallocated": (0..size).collect::<Vec<_>>(),
        });
        let block = kind("IPAMBlock", block_name(&cidr), spec);
        let path = format!("{group}/blockaffinities/{affinity}");
        match datastore.api.create(&format!("{group}/ipamblocks"), &block).await {
            Ok(_) => {
                change(datastore, &path, |affinity| affinity["spec"]["state"] = json!("confirmed")).await?;
                return Ok(Some(cidr));
            }
            Err(failure) if failure.is_conflict() => {
                // Another node was faster.
                datastore.api.delete(&path, &json!({})).await?;
                taken.insert(cidr.to_string());
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

async fn assign_in_block(
    datastore: &Datastore,
    cidr: IpNet,
    claimant: &Claimant<'_>,
) -> Result<Option<IpAddr>, ApiFailure> {
    let path = format!("{}/ipamblocks/{}", datastore.group, block_name(&cidr));
    for _ in 0..RACES {
        let Some(mut block) = datastore.api.find(&path).await? else { return Ok(None) };
        let spec = &mut block["spec"];
        if text(spec, "/affinity") != format!("host:{}", claimant.node) {
            return Ok(None);
        }
        let Some(ordinal) = spec["unallocated"][0].as_u64() else { return Ok(None) };
        let Some(free) = spec["unallocated"].as_array_mut() else { return Ok(None) };
        free.remove(0);
        let Some(attributes) = spec["attributes"].as_array_mut() else { return Ok(None) };
        attributes.push(json!({"handle_id": claimant.handle, "secondary": claimant.attributes}));
        let index = attributes.len() - 1;
        spec["allocations"][ordinal as usize] = json!(index);
        match datastore.api.update(&path, &block).await {
            Ok(_) => {
                note_handle(datastore, claimant.handle, &cidr).await?;
                return Ok(nth(&cidr, ordinal));
            }
            Err(failure) if failure.is_conflict() => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

fn nth(cidr: &IpNet, ordinal: u64) -> Option<IpAddr> {
    match cidr.network() {
        IpAddr::V4(first) => u32::from(first).checked_add(ordinal as u32).map(|ip| IpAddr::V4(ip.into())),
        IpAddr::V6(first) => {
            u128::from(first).checked_add(u128::from(ordinal)).map(|ip| IpAddr::V6(ip.into()))
        }
    }
}

/// Changes an object by reading and replacing it: Calico's own roles hold no right to patch.
async fn change(datastore: &Datastore, path: &str, change: impl Fn(&mut Value)) -> Result<(), ApiFailure> {
    for _ in 0..RACES {
        let Some(mut object) = datastore.api.find(path).await? else { return Ok(()) };
        change(&mut object);
        match datastore.api.update(path, &object).await {
            Err(failure) if failure.is_conflict() => {}
            other => return other.map(|_| ()),
        }
    }
    Ok(())
}

async fn note_handle(datastore: &Datastore, handle: &str, cidr: &IpNet) -> Result<(), ApiFailure> {
    let collection = format!("{}/ipamhandles", datastore.group);
    let name = handle.to_lowercase();
    let object = json!({
        "apiVersion": datastore.group.trim_start_matches("/apis/"),
        "kind": "IPAMHandle",
        "metadata": {"name": name},
        "spec": {"block": {cidr.to_string(): 1}, "deleted": false, "handleID": handle},
    });
    match datastore.api.create(&collection, &object).await {
        Err(failure) if failure.is_conflict() => {
            let key = cidr.to_string();
            change(datastore, &format!("{collection}/{name}"), |handle| {
                let held = handle["spec"]["block"][&key].as_u64().unwrap_or(0);
                handle["spec"]["block"][&key] = json!(held + 1);
            })
            .await
        }
        other => other.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(cidr: &str, block_size: u8, node: &str) -> Vec<String> {
        let pool = Pool { cidr: cidr.parse().unwrap(), block_size };
        pool.blocks_for(node).take(1_000).map(|block| block.to_string()).collect()
    }

    #[test]
    fn a_node_tries_every_block_of_a_pool_once() {
        let mut tried = blocks("192.168.0.0/24", 26, "worker-1");
        tried.sort();
        assert_eq!(tried, ["192.168.0.0/26", "192.168.0.128/26", "192.168.0.192/26", "192.168.0.64/26"]);
        assert_eq!(blocks("192.168.0.0/26", 26, "worker-1"), ["192.168.0.0/26"]);
        assert_eq!(blocks("192.168.0.0/28", 26, "worker-1"), [""; 0], "a pool smaller than a block has none");
        assert_eq!(blocks("0.0.0.0/0", 32, "worker-1").len(), 1_000);
        assert_eq!(blocks("fd00::/48", 122, "worker-1").len(), 1_000);
    }

    #[test]
    fn nodes_begin_at_places_of_their_own() {
        let first = |n: u32| blocks("192.168.0.0/16", 26, &format!("worker-{n}")).remove(0);
        let places: BTreeSet<String> = (0..100).map(first).collect();
        assert!(places.len() > 80, "{} of 100 begin alone", places.len());
    }

    #[test]
    fn selectors_look_at_node_labels() {
        let labels = json!({"zone": "a", "kubernetes.io/os": "linux"});
        assert!(selects("zone == 'a' && has(kubernetes.io/os)", &labels));
        assert!(!selects("zone != \"a\"", &labels));
        assert!(!selects("!all()", &labels));
    }
}
