//! Pod garbage collection: pods whose node is gone, and pods that nobody can end.

use crate::controllers::context::{Cx, gone_is_fine};
use crate::controllers::objects::condition_status;
use crate::controllers::objects::{
    Key, about, conditions_of, is_terminating, items, key_of, name_of, namespace_of, text, uid_of,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::controllers::workloads::pods::{is_finished, node_of};
use crate::schema::builtin::{NODES, PODS};
use crate::server::Object;
use crate::server::{DeleteOptions, Event, Status, Subresource};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The pod garbage collector.
pub(crate) struct PodGc {
    nodes: BTreeSet<String>,
    /// How long a node must have been gone before its pods are deleted.
    quarantine: Duration,
}

impl PodGc {
    pub(crate) fn new(quarantine: Duration) -> Self {
        Self { nodes: BTreeSet::new(), quarantine }
    }
}

impl Controller for PodGc {
    type Key = Key;

    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }

    fn notice(&mut self, cx: &Cx, event: &Event, queue: &mut Queue<Key>) {
        if about(event, &NODES) {
            let name = name_of(event.object());
            match &event.new {
                Some(node) => {
                    self.nodes.insert(name.to_owned());
                    if out_of_service(node) {
                        cx.direct.pods_on_node(name).iter().for_each(|pod| queue.add(key_of(pod)));
                    }
                }
                None => {
                    self.nodes.remove(name);
                    let pods = cx.direct.pods_on_node(name);
                    for pod in &pods {
                        queue.add_after(key_of(pod), self.quarantine);
                    }
                }
            }
        } else if about(event, &PODS)
            && let Some(pod) = &event.new
        {
            let node = node_of(pod);
            if node.is_empty() {
                if is_terminating(pod) {
                    queue.add(key_of(pod));
                }
            } else if !self.nodes.contains(node) {
                queue.add_after(key_of(pod), self.quarantine);
            } else if is_terminating(pod) && event.old.as_ref().is_none_or(|old| !is_terminating(old)) {
                queue.add(key_of(pod));
            }
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, _: &mut Queue<Key>) -> Result<(), Status> {
        let Some(pod) = cx.get(&PODS, &key.0, &key.1) else { return Ok(()) };
        let node = node_of(&pod);
        if node.is_empty() {
            return if is_terminating(&pod) { force(cx, &pod) } else { Ok(()) };
        }
        match cx.get(&NODES, "", node) {
            None => {
                mark(cx, &pod)?;
                force(cx, &pod)
            }
            Some(node) if out_of_service(&node) && is_terminating(&pod) && !node_ready(&node) => {
                mark(cx, &pod)?;
                force(cx, &pod)
            }
            Some(_) => Ok(()),
        }
    }
}

fn node_ready(node: &Value) -> bool {
    condition_status(node, "Ready") == "True"
}

fn out_of_service(node: &Value) -> bool {
    items(node, "/spec/taints").iter().any(|taint| taint["key"] == OUT_OF_SERVICE)
}

/// Says in the pod's status why it ends, and that it has.
fn mark(cx: &Cx, pod: &Object) -> Result<(), Status> {
    if is_finished(pod) {
        return Ok(());
    }
    let mut conditions = conditions_of(pod);
    conditions.retain(|one| text(one, "/type") != "DisruptionTarget");
    conditions.push(json!({
        "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists", "lastTransitionTime": cx.stamp(),
    }));
    let patch = json!({
        "metadata": {"uid": pod["metadata"]["uid"]},
        "status": {"phase": "Failed", "conditions": conditions},
    });
    let (namespace, name) = (namespace_of(pod), name_of(pod));
    let done = cx.direct.merge_patch(&PODS, namespace, name, Subresource::Status, patch);
    gone_is_fine(done.map(|_| ()))
}

fn force(cx: &Cx, pod: &Value) -> Result<(), Status> {
    let options = DeleteOptions { uid: Some(uid_of(pod).to_owned()), ..DeleteOptions::now() };
    gone_is_fine(cx.direct.delete(&PODS, namespace_of(pod), name_of(pod), options))
}
