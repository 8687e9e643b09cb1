//! A copy of etcd, saved on a control plane's host.

use super::Step;
use crate::engine::{StepContext, StepError};
use crate::steps::etcd::Etcdctl;
use async_trait::async_trait;
use replank_planning::plan::action::SnapshotEtcd;
use serde_json::{Value, json};

/// The last bytes of a snapshot are the SHA-256 of everything before them, which itself is a whole number of
/// pages: so a whole file's length tells.
const DIGEST_LENGTH: u64 = 32;
const PAGE: u64 = 512;

/// Where etcd's container may write: its data directory, which is the host's too.
const IN_CONTAINER: &str = "/var/lib/etcd/replank-snapshot.db";

/// See [`replank_planning::plan::Action::SnapshotEtcd`].
pub struct SnapshotEtcdStep(pub SnapshotEtcd);

#[async_trait]
impl Step for SnapshotEtcdStep {
    async fn apply(&self, cx: &StepContext<'_>, _before: &Value) -> Result<Value, StepError> {
        let (name, _) = cx.node(&self.0.node)?;
        let host = cx.host(cx.machine(&self.0.node)?);
        let etcd =
            Etcdctl::on(&host).await?.map_err(|why| StepError::Failed(format!("etcd on {name}: {why}")))?;
        // The container sees etcd's own directory only; from there the file goes where the plan wants it.
        let save = ["snapshot", "save", IN_CONTAINER];
        etcd.act("etcd-snapshot", &save).await?.success("etcdctl snapshot save")?;
        if let Some((directory, _)) = self.0.path.rsplit_once('/') {
            host.act("etcd-snapshot-directory", &["mkdir", "-p", directory]).await?.success("mkdir")?;
        }
        let argv = ["mv", IN_CONTAINER, self.0.path.as_str()];
        host.act("etcd-snapshot-move", &argv).await?.success("mv")?;
        let length = host.ask(&["stat", "-c", "%s", &self.0.path]).await?.success("stat")?;
        let length: u64 = length.trim().parse().unwrap_or(0);
        if length <= DIGEST_LENGTH || length % PAGE != DIGEST_LENGTH {
            return Err(StepError::Failed(format!(
                "the etcd snapshot {} on {name} is not whole: it has {length} bytes",
                self.0.path
            )));
        }
        let digest = host.ask(&["sha256sum", &self.0.path]).await?.success("sha256sum")?;
        let digest = digest.split_whitespace().next().unwrap_or_default();
        Ok(json!({"path": self.0.path, "bytes": length, "sha256": digest}))
    }

    async fn undo(
        &self,
        _cx: &StepContext<'_>,
        _before: &Value,
        _after: Option<&Value>,
    ) -> Result<(), StepError> {
        // A copy harms nobody; it goes with `finalize`.
        Ok(())
    }
}
