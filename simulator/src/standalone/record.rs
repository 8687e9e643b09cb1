//! What `--record` keeps: every request as it comes; what there was before the network, before the run
//! and at the end; and what the witness saw.

use super::access::Access;
use crate::observer::Inventory;
use crate::scenario::Cluster;
use serde_json::Value;
use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// A directory in which a cluster's life is kept.
#[derive(Clone, Debug)]
pub struct Record(PathBuf);

impl Record {
    /// Begins: requests go to `requests.ndjson`, those that built the cluster too.
    ///
    /// # Errors
    /// When the directory can't be made or written.
    pub fn begin(cluster: &Cluster, directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let file = fs::File::create(directory.join("requests.ndjson"))?;
        cluster.server.requests().record_to(Box::new(BufWriter::new(file)))?;
        let record = Self(directory.to_owned());
        record.keep("before-network.json", &Inventory::of(&cluster.before_network).json())?;
        record.keep("before-run.json", &Inventory::of(&cluster.before_run).json())?;
        Ok(record)
    }

    /// Ends: what there is now, and what was seen.
    ///
    /// # Errors
    /// When the directory can't be written.
    pub async fn end(&self, cluster: &Cluster, access: &Access) -> io::Result<()> {
        self.keep("after.json", &Inventory::of(&cluster.objects()).json())?;
        self.keep("effects.json", &access.effects().await)?;
        self.keep("violations.json", &access.violations().await)
    }

    fn keep(&self, name: &str, document: &Value) -> io::Result<()> {
        fs::write(self.0.join(name), format!("{document:#}\n"))
    }
}
