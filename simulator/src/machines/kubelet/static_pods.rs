//! Static pods: what the files in the manifests directory say, and their mirrors in the API.

use crate::server::Object;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::node::Session;
use super::pod::{PodWorker, WorkerKind};
use super::{Kubelet, Wake};
use crate::machines::api::{ApiFailure, core, text};

/// How long a file that became unreadable keeps its old pod: until the kubelet's next full list.
const FULL_LIST: Duration = Duration::from_secs(20);

const HASH: &str = "kubernetes.io/config.hash";
const MIRROR: &str = "kubernetes.io/config.mirror";
const SOURCE: &str = "kubernetes.io/config.source";
const SEEN: &str = "kubernetes.io/config.seen";

impl Kubelet {
    /// Makes the static pods those of the files.
    pub(super) fn look_at_manifests(&mut self, session: &mut Session) {
        let now = Instant::now();
        let directory = session.config.static_pod_path.clone();
        let files = self.machine.host.files().clone();
        let mut wanted: BTreeMap<String, (Value, String)> = BTreeMap::new();
        let mut unreadable: BTreeSet<String> = BTreeSet::new();
        for name in files.list(&directory) {
            let path = format!("{directory}/{name}");
            if name.starts_with('.') || files.is_directory(&path) {
                continue;
            }
            match files.read_text(&path).and_then(|text| read(session, &path, &text)) {
                Some((hash, pod)) => {
                    wanted.insert(hash, (pod, path));
                }
                None => {
                    session.machine.print(&format!("kubelet: can't process manifest file {path}"));
                    unreadable.insert(path);
                }
            }
        }
        // What is read now is the newest; only a file that can't be read has to be looked at again.
        self.wakes.retain(|(_, wake)| *wake != Wake::Manifests);
        if !unreadable.is_empty() {
            self.wake(now + FULL_LIST, Wake::Manifests);
        }
        for (uid, worker) in &mut self.pods {
            let Some(source) = worker.source() else { continue };
            if wanted.contains_key(uid)
                || (unreadable.contains(source) && !worker.unreadable_for(now, FULL_LIST))
            {
                continue;
            }
            worker.manifest_gone();
            self.wakes.insert((now, Wake::Pod(uid.clone())));
        }
        for (hash, (pod, path)) in wanted {
            match self.pods.get(&hash) {
                Some(worker) if worker.is_ending() => {
                    self.wake(now + session.machine.site.durations.static_manifest, Wake::Manifests);
                }
                Some(_) => {}
                None => {
                    let kind = WorkerKind::Static { source: path };
                    self.pods.insert(hash.clone(), PodWorker::new(pod.into(), kind));
                    self.wake(now, Wake::Pod(hash));
                }
            }
        }
    }
}

/// The pod of a manifest and the hash that is its uid.
fn read(session: &Session, path: &str, content: &str) -> Option<(String, Value)> {
    let mut pod: Value = serde_saphyr::from_str(content).ok()?;
    let name = text(&pod, "/metadata/name").to_owned();
    if pod["kind"] != "Pod" || name.is_empty() || !pod["spec"]["containers"].is_array() {
        return None;
    }
    let digest = Sha256::digest(format!("{pod}host:{}file:{path}", session.node));
    let hash = hex::encode(&digest[..16]);
    if text(&pod, "/metadata/namespace").is_empty() {
        pod["metadata"]["namespace"] = json!("default");
    }
    pod["metadata"]["name"] = json!(format!("{name}-{}", session.node.to_lowercase()));
    pod["metadata"]["uid"] = json!(hash);
    if !pod["metadata"]["annotations"].is_object() {
        pod["metadata"]["annotations"] = json!({});
    }
    let annotations = &mut pod["metadata"]["annotations"];
    annotations[HASH] = json!(hash);
    annotations[SOURCE] = json!("file");
    annotations[SEEN] = json!(session.machine.site.clock.now_rfc3339());
    pod["spec"]["nodeName"] = json!(session.node);
    if !pod["spec"]["tolerations"].is_array() {
        pod["spec"]["tolerations"] = json!([{"effect": "NoExecute", "operator": "Exists"}]);
    }
    pod.as_object_mut()?.remove("status");
    Some((hash, pod))
}

/// Makes the mirror of a static pod what it should be. `true` when it is.
pub(super) async fn keep_mirror(session: &mut Session, worker: &mut PodWorker) -> Result<bool, ApiFailure> {
    if !session.registered {
        return Ok(false);
    }
    let (namespace, name) = worker.full_name();
    if let Some(mirror) = worker.mirror() {
        let same = mirror["metadata"]["annotations"][MIRROR] == worker.pod["metadata"]["annotations"][HASH];
        if same && mirror["metadata"]["deletionTimestamp"].is_null() && !worker.is_ending() {
            return Ok(true);
        }
        let uid = &mirror["metadata"]["uid"];
        let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
        match session.api.delete(&core(&namespace, "pods", &name), &options).await {
            Err(failure) if !failure.is_conflict() => return Err(failure),
            _ => worker.see_mirror(None),
        }
    }
    if worker.is_ending() {
        return Ok(true);
    }
    // A deleted Node gets no mirrors: they would have no owner.
    let node_uid = match session.node_uid().await {
        Ok(uid) => uid,
        Err(failure) if failure.is_not_found() => return Ok(false),
        Err(failure) => return Err(failure),
    };
    let mut mirror = (*worker.pod).clone();
    let metadata = &mut mirror["metadata"];
    metadata["annotations"][MIRROR] = metadata["annotations"][HASH].clone();
    metadata["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "Node", "name": session.node, "uid": node_uid, "controller": true,
    }]);
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("uid");
    }
    match session.api.create(&core(&namespace, "pods", ""), &mirror).await {
        Ok(created) => worker.see_mirror(Some(created.into())),
        Err(failure) if failure.is_conflict() => {
            let there = session.api.find(&core(&namespace, "pods", &name)).await?;
            worker.see_mirror(there.map(Object::from));
            return Ok(false);
        }
        Err(failure) => return Err(failure),
    }
    Ok(true)
}
