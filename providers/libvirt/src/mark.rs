//! What replank keeps with a domain, in its metadata: it outlives this tool and this computer.

use crate::xml::Element;
use replank_provider_protocol::{MachineId, OperationId, Role, RunId, Snapshot, SnapshotId, SnapshotState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The namespace of our metadata.
pub const NAMESPACE: &str = "https://replank.dev/libvirt";

/// The prefix that it is written with.
pub const PREFIX: &str = "replank";

/// Everything that is kept with a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// How it was made; none for a domain that others made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// Snapshots of it, the deleted ones too: their files go with the domain.
    #[serde(default)]
    pub snapshots: Vec<SnapshotMark>,
}

/// How a domain of ours was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// For which cluster.
    pub cluster: String,
    /// In which run.
    pub run: RunId,
    /// By which operation.
    pub operation: OperationId,
    /// For what.
    pub role: Role,
    /// With which labels.
    pub labels: BTreeMap<String, String>,
    /// How far its making has come.
    pub phase: Phase,
}

/// How far the making of a domain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// It is defined, so that nothing of it can be lost; it was never started.
    Defined,
    /// It was started.
    Started,
}

/// A snapshot: the file that was the disk until then, and that nothing has been written to since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotMark {
    /// Its id: the domain's, a dot, the operation's key.
    pub id: SnapshotId,
    /// For which cluster.
    pub cluster: String,
    /// In which run.
    pub run: RunId,
    /// The file that holds it.
    pub frozen: String,
    /// The file's format.
    pub format: String,
    /// The file that is written to since.
    pub layer: String,
    /// How far it has come.
    pub phase: SnapshotPhase,
}

/// How far a snapshot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SnapshotPhase {
    /// The disk may be written to yet.
    Taking,
    /// The disk stands still.
    Ready,
    /// Nobody wants it any more. The disk is laid over it, so its file stays as long as the domain.
    Deleted,
}

impl Mark {
    /// The metadata's element, as it stands in a domain's definition.
    pub fn element(&self) -> Element {
        Element::new("replank:machine").with("xmlns:replank", NAMESPACE).text(self.text())
    }

    /// The same as `virsh metadata` takes it, which puts the namespace in by itself.
    pub fn bare_element(&self) -> Element {
        Element::new("machine").text(self.text())
    }

    fn text(&self) -> String {
        // Maps with text keys and numbers: there is nothing that JSON can't hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The snapshot with this id, unless it was deleted.
    pub fn snapshot(&self, id: &SnapshotId) -> Option<&SnapshotMark> {
        self.snapshots.iter().find(|s| s.id == *id && s.phase != SnapshotPhase::Deleted)
    }

    /// Puts a snapshot in, in the place of the one with its id.
    pub fn put(&mut self, snapshot: SnapshotMark) {
        self.snapshots.retain(|s| s.id != snapshot.id);
        self.snapshots.push(snapshot);
    }
}

impl SnapshotMark {
    /// As the protocol shows it.
    pub fn shown(&self, machine: &MachineId) -> Snapshot {
        let state = match self.phase {
            SnapshotPhase::Ready => SnapshotState::Ready,
            SnapshotPhase::Taking | SnapshotPhase::Deleted => SnapshotState::Pending,
        };
        Snapshot { id: self.id.clone(), machine: machine.clone(), state, run: Some(self.run.clone()) }
    }
}
