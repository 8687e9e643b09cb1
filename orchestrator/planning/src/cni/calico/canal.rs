//! Canal's own Flannel, and how the new one is kept apart from it while both exist.
//!
//! Both announce themselves in the same annotations and listen on the same port, so each programs
//! routes to the other's nodes. The number of the VXLAN network keeps them apart: the kernel drops a
//! packet whose number no device of the host has.

use super::detect::{Install, InstallKind};
use crate::intent::Backend;
use crate::state::ClusterState;
use serde_json::Value;

/// The largest number that a VXLAN network can have.
const LARGEST: u32 = (1 << 24) - 1;
/// Flannel's own choices where the configuration names none.
const VNI: u32 = 1;
const PORT: u64 = 8472;

/// How nodes of a Flannel find each other's packets: none if not by VXLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// The network's number.
    pub vni: u32,
    /// The UDP port.
    pub port: u64,
}

impl Vxlan {
    /// Of a `net-conf.json`.
    pub fn of(conf: &Value) -> Option<Self> {
        let backend = &conf["Backend"];
        if backend["Type"] != "vxlan" {
            return None;
        }
        let vni = backend["VNI"].as_u64().and_then(|vni| u32::try_from(vni).ok()).unwrap_or(VNI);
        Some(Self { vni, port: backend["Port"].as_u64().filter(|port| *port > 0).unwrap_or(PORT) })
    }
}

/// The VXLAN of Canal's Flannel, if the install is Canal and uses one.
pub fn vxlan(state: &ClusterState, install: &Install) -> Option<Vxlan> {
    if install.kind != InstallKind::Canal {
        return None;
    }
    let namespaces = install.agents.iter().map(|agent| agent.id.object.namespace.as_str());
    let confs = namespaces.flat_map(|namespace| {
        let here = move |map: &&crate::object::Object| map.id.object.namespace == namespace;
        state.inventory.of("", "ConfigMap").filter(here)
    });
    let referred =
        confs.filter(|map| install.agents.iter().any(|agent| mounts(&agent.body, &map.id.object.name)));
    let conf =
        referred.filter_map(|map| map.text("/data/net-conf.json")).find_map(|t| serde_json::from_str(t).ok());
    match conf {
        Some(conf) => Vxlan::of(&conf),
        // Nothing can be read: taken for Flannel's usual one, which is the one to keep away from.
        None => Some(Vxlan { vni: VNI, port: PORT }),
    }
}

fn mounts(agent: &Value, map: &str) -> bool {
    let volumes = agent.pointer("/spec/template/spec/volumes").and_then(Value::as_array);
    volumes.into_iter().flatten().any(|volume| volume["configMap"]["name"] == map)
}

/// The VXLAN number that the new Flannel needs; none where Flannel's own choice meets nobody.
pub fn number_apart(state: &ClusterState, install: &Install, backend: Backend) -> Option<u32> {
    if backend != Backend::Vxlan {
        return None;
    }
    let old = vxlan(state, install)?.vni;
    Some(if old >= LARGEST { VNI } else { old + 1 })
}
