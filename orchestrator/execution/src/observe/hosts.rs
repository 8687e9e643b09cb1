//! What the Nodes' hosts hold, where they can be asked.

use super::reader::Reader;
use crate::steps::create_machine::carry::{MANIFESTS, foreign_paths};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::{self, StreamExt};
use replank_planning::canonical::digest_bytes;
use replank_planning::ids::{MachineId, NodeName};
use replank_planning::state::{HostAccess, HostInventory, NodeState};
use replank_planning::yaml;
use replank_provider_protocol::verbs::{HostReadParams, HostRunParams};
use replank_provider_protocol::{Capabilities, Role};
use std::collections::{BTreeMap, BTreeSet};

/// How many hosts are asked at once.
const HOSTS: usize = 8;
const CNI: &str = "/etc/cni/net.d";

/// Looks at every host. One that can't be asked says why.
pub(super) async fn look(
    reader: &Reader<'_>,
    capabilities: &Capabilities,
    nodes: &mut BTreeMap<NodeName, NodeState>,
) {
    let found: Vec<HostAccess> = stream::iter(nodes.values())
        .map(|node| async move {
            if !capabilities.hosts {
                return HostAccess::None { reason: "the provider has no access to hosts".into() };
            }
            let Some(machine) = &node.machine else {
                return HostAccess::None { reason: "the provider does not know its machine".into() };
            };
            match inventory(reader, &machine.id, node.role).await {
                Ok(inventory) => HostAccess::Reachable(inventory),
                Err(reason) => HostAccess::None { reason },
            }
        })
        .buffered(HOSTS)
        .collect()
        .await;
    for (node, host) in nodes.values_mut().zip(found) {
        node.host = host;
    }
}

async fn inventory(reader: &Reader<'_>, machine: &MachineId, role: Role) -> Result<HostInventory, String> {
    let manifests = list(reader, machine, MANIFESTS).await?;
    let visible = |name: &String| !name.starts_with('.');
    let static_pods: BTreeSet<String> = manifests.into_iter().filter(visible).collect();
    let mut foreign_files = BTreeMap::new();
    if role == Role::ControlPlane {
        for path in foreign(reader, machine, &static_pods).await? {
            for (file, content) in files(reader, machine, &path).await? {
                foreign_files.insert(file, digest_bytes(&content).to_string());
            }
        }
    }
    let mut cni_configurations = list(reader, machine, CNI).await?;
    cni_configurations.sort();
    Ok(HostInventory { static_pods, foreign_files, cni_configurations })
}

/// What static pods mount and nobody brings to a new host.
async fn foreign(
    reader: &Reader<'_>,
    machine: &MachineId,
    static_pods: &BTreeSet<String>,
) -> Result<BTreeSet<String>, String> {
    let mut paths = BTreeSet::new();
    for name in static_pods {
        let Some(content) = read(reader, machine, &format!("{MANIFESTS}/{name}")).await? else { continue };
        if let Ok(pod) = yaml::read_file(&content) {
            paths.extend(foreign_paths(&pod));
        }
    }
    Ok(paths)
}

/// A file, or the files of a directory.
async fn files(
    reader: &Reader<'_>,
    machine: &MachineId,
    path: &str,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    if let Some(content) = read(reader, machine, path).await? {
        return Ok(vec![(path.to_owned(), content)]);
    }
    let mut found = Vec::new();
    for name in list(reader, machine, path).await? {
        let file = format!("{path}/{name}");
        if let Some(content) = read(reader, machine, &file).await? {
            found.push((file, content));
        }
    }
    Ok(found)
}

async fn list(reader: &Reader<'_>, machine: &MachineId, directory: &str) -> Result<Vec<String>, String> {
    let provider = &reader.world.provider;
    let output = reader
        .provider("list a directory of a host", || {
            provider.host_run(HostRunParams {
                mutation: None,
                machine: machine.clone(),
                argv: vec!["ls".into(), "-A".into(), directory.into()],
                stdin: None,
            })
        })
        .await
        .map_err(|e| e.to_string())?;
    if output.status != 0 {
        // A directory that is not there holds nothing.
        return Ok(Vec::new());
    }
    let text = STANDARD.decode(&output.stdout).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
}

async fn read(reader: &Reader<'_>, machine: &MachineId, path: &str) -> Result<Option<Vec<u8>>, String> {
    let provider = &reader.world.provider;
    let file = reader
        .provider("read a file of a host", || {
            provider.host_read(HostReadParams { machine: machine.clone(), path: path.to_owned() })
        })
        .await
        .map_err(|e| e.to_string())?;
    file.map(|f| STANDARD.decode(&f.content).map_err(|e| e.to_string())).transpose()
}
