//! Node IPAM: pod CIDRs from the cluster's range.
//!
//! Like the real one it does not start, and with it the whole controller-manager does not, while
//! some Node has a pod CIDR outside of the range. Once it runs, such a Node is only left alone.

use super::cidrs::Blocks;
use crate::controllers::context::Cx;
use crate::controllers::objects::{about, is_terminating, items, name_of};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::NODES;
use crate::server::{Event, EventKind, Status, Subresource};
use ipnet::IpNet;
use serde_json::{Value, json};

/// The allocator of pod CIDRs.
pub(crate) struct NodeIpam {
    pools: Vec<Blocks>,
}

/// What the flags say.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// `--cluster-cidr`.
    pub(crate) cluster: String,
    /// `--service-cluster-ip-range`.
    pub(crate) services: String,
    /// `--node-cidr-mask-size`.
    pub(crate) mask: Option<u8>,
    /// `--node-cidr-mask-size-ipv4`.
    pub(crate) mask_v4: Option<u8>,
    /// `--node-cidr-mask-size-ipv6`.
    pub(crate) mask_v6: Option<u8>,
}

fn nets(list: &str) -> Result<Vec<IpNet>, String> {
    list.split(',')
        .map(str::trim)
        .map(|text| text.parse().map_err(|_| format!("invalid CIDR address: {text:?}")))
        .collect()
}

fn cidrs_of(node: &Value) -> Vec<String> {
    let listed = items(node, "/spec/podCIDRs").iter();
    let mut found: Vec<String> = listed.filter_map(|one| one.as_str().map(str::to_owned)).collect();
    if found.is_empty() {
        found.extend(node["spec"]["podCIDR"].as_str().filter(|one| !one.is_empty()).map(str::to_owned));
    }
    found
}

impl NodeIpam {
    /// The allocator, with what every present Node holds marked as taken.
    pub(crate) fn new(cx: &Cx, flags: &Flags) -> Result<Self, String> {
        let ranges = nets(&flags.cluster)?;
        let mut pools = Vec::new();
        for range in ranges {
            let v4 = range.max_prefix_len() == 32;
            let own = if v4 { flags.mask_v4 } else { flags.mask_v6 };
            pools.push(Blocks::new(range, own.or(flags.mask).unwrap_or(if v4 { 24 } else { 64 }))?);
        }
        for service in nets(&flags.services).unwrap_or_default() {
            for pool in &mut pools {
                let meets = pool.range().contains(&service) || service.contains(&pool.range());
                if meets {
                    pool.occupy(service)?;
                }
            }
        }
        let mut ipam = Self { pools };
        for node in cx.direct.list(&NODES, None) {
            ipam.occupy(&node)?;
        }
        Ok(ipam)
    }

    fn occupy(&mut self, node: &Value) -> Result<(), String> {
        for (at, text) in cidrs_of(node).iter().enumerate() {
            let name = name_of(node);
            let cidr: IpNet =
                text.parse().map_err(|_| format!("failed to parse cidr {text:?} of node: {name}"))?;
            let Some(pool) = self.pools.get_mut(at) else {
                return Err(format!(
                    "node:{name} has an allocated cidr: {text} at index:{at} that does not exist in cluster cidrs configuration"
                ));
            };
            pool.occupy(cidr).map_err(|error| {
                format!("failed to mark cidr[{text}] at idx [{at}] as occupied for node: {name}: {error}")
            })?;
        }
        Ok(())
    }

    fn release(&mut self, node: &Value) {
        for (at, text) in cidrs_of(node).iter().enumerate() {
            if let (Some(pool), Ok(cidr)) = (self.pools.get_mut(at), text.parse()) {
                pool.release(cidr);
            }
        }
    }
}

impl Controller for NodeIpam {
    type Key = String;

    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<String>) {
        if !about(event, &NODES) {
            return;
        }
        match (&event.new, &event.old) {
            (Some(node), old) => {
                let before = old.as_ref().map(|old| cidrs_of(old));
                if before != Some(cidrs_of(node)) || cidrs_of(node).is_empty() {
                    queue.add(name_of(node).to_owned());
                }
            }
            (None, Some(node)) if event.kind == EventKind::Deleted => self.release(node),
            (None, _) => {}
        }
    }

    fn sync(&mut self, cx: &Cx, name: &String, _: &mut Queue<String>) -> Result<(), Status> {
        let Some(node) = cx.get(&NODES, "", name) else { return Ok(()) };
        if is_terminating(&node) {
            return Ok(());
        }
        if !cidrs_of(&node).is_empty() {
            if let Err(error) = self.occupy(&node) {
                tracing::warn!(node = name, %error, "left alone");
            }
            return Ok(());
        }
        let mut given: Vec<IpNet> = Vec::new();
        for at in 0..self.pools.len() {
            let Some(cidr) = self.pools[at].allocate() else {
                given.iter().zip(&mut self.pools).for_each(|(cidr, pool)| pool.release(*cidr));
                let message = format!("Node {name} status is now: CIDRNotAvailable");
                cx.tell(&node, "Normal", "CIDRNotAvailable", &message);
                return Err(Status::new(
                    500,
                    "",
                    "CIDR allocation failed; there are no remaining CIDRs left",
                ));
            };
            given.push(cidr);
        }
        let texts: Vec<String> = given.iter().map(ToString::to_string).collect();
        let patch = json!({
            "metadata": {"uid": node["metadata"]["uid"]},
            "spec": {"podCIDR": texts.first(), "podCIDRs": texts},
        });
        let done = cx.direct.merge_patch(&NODES, "", name, Subresource::None, patch);
        if done.is_err() {
            given.iter().zip(&mut self.pools).for_each(|(cidr, pool)| pool.release(*cidr));
        }
        crate::controllers::context::gone_is_fine(done.map(|_| ()))
    }
}
