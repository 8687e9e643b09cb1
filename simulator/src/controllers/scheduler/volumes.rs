//! What a pod's claims say about its node.

use crate::controllers::context::Cx;
use crate::controllers::objects::{items, name_of, namespace_of, text};
use crate::controllers::placement::{node_affinity_allows, node_selector_matches};
use crate::schema::builtin::{PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES};
use crate::server::{Object, Status, Subresource};
use serde_json::{Value, json};

/// The annotation by which the scheduler says where a volume will be needed.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// A pod's volumes as far as they matter for its node.
#[derive(Default)]
pub(super) struct Volumes {
    /// Volumes that are bound, each with its node affinity.
    bound: Vec<Object>,
    /// Claims that wait for a node to be chosen.
    waiting: Vec<Object>,
    /// Nodes that were chosen before.
    chosen: Vec<String>,
}

impl Volumes {
    /// The volumes of a pod, or why it can't be scheduled at all yet.
    pub(super) fn of(cx: &Cx, pod: &Value) -> Result<Self, String> {
        let mut volumes = Self::default();
        for volume in items(pod, "/spec/volumes") {
            let name = match (volume["persistentVolumeClaim"]["claimName"].as_str(), &volume["ephemeral"]) {
                (Some(name), _) => name.to_owned(),
                (None, Value::Null) => continue,
                (None, _) => format!("{}-{}", name_of(pod), text(volume, "/name")),
            };
            let Some(claim) = cx.get(&PERSISTENT_VOLUME_CLAIMS, namespace_of(pod), &name) else {
                return Err(format!("persistentvolumeclaim \"{name}\" not found"));
            };
            volumes.take(cx, claim)?;
        }
        Ok(volumes)
    }

    fn take(&mut self, cx: &Cx, claim: Object) -> Result<(), String> {
        let volume = text(&claim, "/spec/volumeName");
        if !volume.is_empty() && text(&claim, "/status/phase") == "Bound" {
            self.bound.extend(cx.get(&PERSISTENT_VOLUMES, "", volume));
            return Ok(());
        }
        let class = cx.get(&STORAGE_CLASSES, "", text(&claim, "/spec/storageClassName"));
        let waits = class.is_some_and(|class| text(&class, "/volumeBindingMode") == "WaitForFirstConsumer");
        if !waits {
            return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
        self.chosen.extend(claim["metadata"]["annotations"][SELECTED_NODE].as_str().map(str::to_owned));
        self.waiting.push(claim);
        Ok(())
    }

    /// Whether the volumes can be reached from this node.
    pub(super) fn allow(&self, node: &Value) -> bool {
        let chosen = self.chosen.iter().all(|chosen| chosen == name_of(node));
        chosen
            && self.bound.iter().all(|volume| {
                let affinity = &volume["spec"]["nodeAffinity"]["required"];
                affinity.is_null() || node_selector_matches(affinity, node)
            })
            && node_affinity_allows(&Value::Null, node)
    }

    /// Whether a node has to be chosen for some claim before the pod can be bound.
    pub(super) fn wait(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Says to the provisioner where the volumes are needed.
    pub(super) fn choose(&self, cx: &Cx, node: &str) -> Result<(), Status> {
        for claim in &self.waiting {
            let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
            let (namespace, name) = (namespace_of(claim), name_of(claim));
            cx.direct.merge_patch(&PERSISTENT_VOLUME_CLAIMS, namespace, name, Subresource::None, patch)?;
        }
        Ok(())
    }
}
