//! Attach and detach: VolumeAttachments for what pods on nodes use.
//!
//! The drivers' own attachers are played here too: what is asked for is attached a moment later.

use crate::controllers::context::Cx;
use crate::controllers::objects::{Key, about, items, key_of, name_of, namespace_of, text};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::controllers::workloads::pods::{is_finished, node_of};
use crate::schema::builtin::{
    CSI_DRIVERS, NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTACHMENTS,
};
use crate::server::{Event, Object, Status};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long a driver needs to attach a volume.
const ATTACHING: Duration = Duration::from_secs(1);
/// How long a volume that its node still uses is left alone.
const FORCE_AFTER: Duration = Duration::from_secs(360);
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The attach/detach controller; its keys are names of volumes.
#[derive(Default)]
pub(crate) struct AttachDetach {
    /// Pods by the claims that they use.
    users: BTreeMap<Key, BTreeSet<Key>>,
    /// Attachments by volume.
    attachments: BTreeMap<String, BTreeSet<String>>,
    /// What each node said it uses last; a deleted node's word stands.
    in_use: BTreeMap<String, BTreeSet<String>>,
    /// Since when an attachment has been unwanted.
    unwanted: BTreeMap<String, Instant>,
}

/// The claims of a pod.
fn claims_of(pod: &Value) -> Vec<Key> {
    let namespace = namespace_of(pod);
    let name = |volume: &Value| match (&volume["persistentVolumeClaim"]["claimName"], &volume["ephemeral"]) {
        (Value::String(name), _) => Some(name.clone()),
        (_, Value::Null) => None,
        _ => Some(format!("{}-{}", name_of(pod), text(volume, "/name"))),
    };
    items(pod, "/spec/volumes")
        .iter()
        .filter_map(|volume| Some((namespace.to_owned(), name(volume)?)))
        .collect()
}

impl AttachDetach {
    fn notice_pod(&mut self, cx: &Cx, event: &Event, queue: &mut Queue<String>) {
        let pod = event.object();
        let placed =
            |pod: &Object| (!node_of(pod).is_empty() && !is_finished(pod)).then(|| node_of(pod).to_owned());
        let before = event.old.as_ref().and_then(placed);
        let after = event.new.as_ref().and_then(placed);
        if before == after {
            return;
        }
        for claim in claims_of(pod) {
            let users = self.users.entry(claim.clone()).or_default();
            if after.is_some() {
                users.insert(key_of(pod));
            } else {
                users.remove(&key_of(pod));
            }
            if let Some(claim) = cx.get(&PERSISTENT_VOLUME_CLAIMS, &claim.0, &claim.1) {
                queue.add(text(&claim, "/spec/volumeName").to_owned());
            }
        }
    }

    fn notice_node(&mut self, event: &Event, queue: &mut Queue<String>) {
        let node = event.object();
        let name = name_of(node).to_owned();
        if let Some(node) = &event.new {
            let used = items(node, "/status/volumesInUse").iter();
            let used: BTreeSet<String> = used.filter_map(|one| one.as_str().map(str::to_owned)).collect();
            let serves = event.old.as_ref().map(|old| old["spec"]["taints"].clone())
                == Some(node["spec"]["taints"].clone());
            if self.in_use.insert(name.clone(), used.clone()) == Some(used) && serves {
                return;
            }
        }
        // Whatever hangs on this node is looked at again.
        let concerned = self.unwanted.keys().cloned().collect::<BTreeSet<String>>();
        for (volume, names) in &self.attachments {
            if names.iter().any(|one| concerned.contains(one)) || event.new.is_none() {
                queue.add(volume.clone());
            }
        }
    }

    /// The nodes on which pods use a volume.
    fn wanted(&self, cx: &Cx, volume: &Value) -> BTreeMap<String, Object> {
        let claim = &volume["spec"]["claimRef"];
        let key = (text(claim, "/namespace").to_owned(), text(claim, "/name").to_owned());
        let users = self.users.get(&key).into_iter().flatten();
        users
            .filter_map(|key| cx.get(&PODS, &key.0, &key.1))
            .filter(|pod| !node_of(pod).is_empty() && !is_finished(pod))
            .map(|pod| (node_of(&pod).to_owned(), pod))
            .collect()
    }

    fn present(&self, cx: &Cx, volume: &str) -> Vec<Object> {
        let names = self.attachments.get(volume).into_iter().flatten();
        names.filter_map(|name| cx.get(&VOLUME_ATTACHMENTS, "", name)).collect()
    }

    /// Takes an attachment away, if its node no longer uses the volume or can't.
    fn detach(&mut self, cx: &Cx, one: &Value, unique: &str) -> Result<Option<Duration>, Status> {
        let (name, node) = (name_of(one).to_owned(), text(one, "/spec/nodeName"));
        let since = *self.unwanted.entry(name.clone()).or_insert_with(Instant::now);
        let found = cx.get(&NODES, "", node);
        let out = found.is_some_and(|node| {
            items(&node, "/spec/taints").iter().any(|taint| taint["key"] == OUT_OF_SERVICE)
        });
        let used = self.in_use.get(node).is_some_and(|used| used.contains(unique));
        if used
            && !out
            && let Some(left) = FORCE_AFTER.checked_sub(since.elapsed()).filter(|left| !left.is_zero())
        {
            return Ok(Some(left));
        }
        self.unwanted.remove(&name);
        cx.delete(&VOLUME_ATTACHMENTS, one)?;
        Ok(None)
    }
}

/// The name of an attachment, as everybody derives it.
fn attachment_name(handle: &str, driver: &str, node: &str) -> String {
    let digest = Sha256::digest(format!("{handle}{driver}{node}"));
    format!("csi-{}", hex::encode(digest))
}

impl Controller for AttachDetach {
    type Key = String;

    fn name(&self) -> &'static str {
        "persistentvolume-attach-detach-controller"
    }

    fn notice(&mut self, cx: &Cx, event: &Event, queue: &mut Queue<String>) {
        let object = event.object();
        if about(event, &PODS) {
            self.notice_pod(cx, event, queue);
        } else if about(event, &NODES) {
            self.notice_node(event, queue);
        } else if about(event, &PERSISTENT_VOLUMES) {
            queue.add(name_of(object).to_owned());
        } else if about(event, &VOLUME_ATTACHMENTS) {
            let volume = text(object, "/spec/source/persistentVolumeName").to_owned();
            let names = self.attachments.entry(volume.clone()).or_default();
            match &event.new {
                Some(_) => names.insert(name_of(object).to_owned()),
                None => names.remove(name_of(object)),
            };
            queue.add(volume);
        }
    }

    fn sync(&mut self, cx: &Cx, name: &String, queue: &mut Queue<String>) -> Result<(), Status> {
        let Some(volume) = cx.get(&PERSISTENT_VOLUMES, "", name) else { return Ok(()) };
        let csi = &volume["spec"]["csi"];
        let (driver, handle) = (text(csi, "/driver"), text(csi, "/volumeHandle"));
        let needless = cx.get(&CSI_DRIVERS, "", driver).is_some_and(|d| d["spec"]["attachRequired"] == false);
        if driver.is_empty() || needless {
            return Ok(());
        }
        let unique = format!("kubernetes.io/csi/{driver}^{handle}");
        let wanted = self.wanted(cx, &volume);
        for one in self.present(cx, name) {
            let node = text(&one, "/spec/nodeName");
            if wanted.contains_key(node) {
                self.unwanted.remove(name_of(&one));
                attached(cx, &one, queue)?;
            } else if let Some(left) = self.detach(cx, &one, &unique)? {
                queue.add_after(name.clone(), left);
            }
        }
        let shared = items(&volume, "/spec/accessModes")
            .iter()
            .any(|mode| mode != "ReadWriteOnce" && mode != "ReadWriteOncePod");
        for (node, pod) in wanted {
            let present = self.present(cx, name);
            if present.iter().any(|one| one["spec"]["nodeName"] == node.as_str()) {
                continue;
            }
            if !present.is_empty() && !shared {
                let message = format!(
                    "Multi-Attach error for volume \"{name}\" Volume is already exclusively attached to one node \
                     and can't be attached to another"
                );
                cx.tell(&pod, "Warning", "FailedAttachVolume", &message);
                continue;
            }
            let one = json!({
                "metadata": {"name": attachment_name(handle, driver, &node)},
                "spec": {"attacher": driver, "nodeName": node, "source": {"persistentVolumeName": name}},
            });
            cx.direct.create(&VOLUME_ATTACHMENTS, one)?;
            let message = format!("AttachVolume.Attach succeeded for volume \"{name}\"");
            cx.tell(&pod, "Normal", "SuccessfulAttachVolume", &message);
        }
        Ok(())
    }
}

/// Says of an attachment, once its driver had the time, that it is done.
fn attached(cx: &Cx, one: &Value, queue: &mut Queue<String>) -> Result<(), Status> {
    if one["status"]["attached"] == true {
        return Ok(());
    }
    let volume = text(one, "/spec/source/persistentVolumeName");
    if let Some(left) = cx.until(text(one, "/metadata/creationTimestamp"), ATTACHING) {
        queue.add_after(volume.to_owned(), left);
        return Ok(());
    }
    cx.set_status(&VOLUME_ATTACHMENTS, one, json!({"attached": true}))
}
