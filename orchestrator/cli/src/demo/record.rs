//! What `--record` keeps beside plan and journal: requests and inventories.

use super::DemoError;
use replank_simulator::observer::Inventory;
use replank_simulator::scenario::Cluster;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes every request as a line of JSON, those that built the cluster too.
pub(super) fn requests(cluster: &Cluster, directory: &Path) -> Result<(), DemoError> {
    let path = directory.join("requests.ndjson");
    let file = File::create(&path).map_err(|source| failed(&path, source))?;
    let log = cluster.server.requests();
    log.record_to(Box::new(BufWriter::new(file))).map_err(|source| failed(&path, source))
}

/// Writes what there was before the network, before the run, and what there is now.
pub(super) fn inventories(cluster: &Cluster, directory: &Path) -> Result<(), DemoError> {
    let now = cluster.objects();
    for (name, objects) in [
        ("before-network.json", &cluster.before_network),
        ("before-run.json", &cluster.before_run),
        ("after.json", &now),
    ] {
        let path = directory.join(name);
        let text = format!("{:#}\n", Inventory::of(objects).json());
        File::create(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|source| failed(&path, source))?;
    }
    Ok(())
}

fn failed(path: &Path, source: std::io::Error) -> DemoError {
    DemoError::Written { path: PathBuf::from(path), source }
}
