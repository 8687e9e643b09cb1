//! Node lifecycle: silent nodes become Unknown, conditions become taints.

use super::taints;
use crate::controllers::context::{Cx, gone_is_fine};
use crate::controllers::objects::{
    about, condition_status, conditions_of, items, name_of, namespace_of, set_condition, text,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::controllers::workloads::pods;
use crate::schema::builtin::{LEASES, NODES, PODS};
use crate::server::{Event, Status, Subresource};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long a node may be silent when the flag doesn't say.
pub(crate) const GRACE: Duration = Duration::from_secs(40);

/// What the controller remembers of a node.
struct Seen {
    heard: Instant,
    ready: bool,
}

/// The node lifecycle controller.
pub(crate) struct NodeLifecycle {
    grace: Duration,
    nodes: BTreeMap<String, Seen>,
    all_down: bool,
}

impl NodeLifecycle {
    pub(crate) fn new(grace: Duration) -> Self {
        Self { grace, nodes: BTreeMap::new(), all_down: false }
    }

    fn hear(&mut self, name: &str, queue: &mut Queue<String>) {
        if let Some(seen) = self.nodes.get_mut(name) {
            // A node that was silent has to be looked at by itself: the kubelet reports it ready.
            seen.heard = Instant::now();
            queue.add_after(name.to_owned(), self.grace);
        }
    }

    fn notice_node(&mut self, event: &Event, queue: &mut Queue<String>) {
        let name = name_of(event.object()).to_owned();
        let Some(node) = &event.new else {
            self.nodes.remove(&name);
            self.judge_all(queue);
            return;
        };
        let ready = condition_status(node, "Ready") == "True";
        let seen = self.nodes.entry(name.clone()).or_insert(Seen { heard: Instant::now(), ready });
        seen.ready = ready;
        let reported = event.old.as_ref().is_some_and(|old| old["status"] != node["status"]);
        if reported && condition_status(node, "Ready") != "Unknown" {
            seen.heard = Instant::now();
        }
        let matters = |node: &Value| {
            let conditions: Vec<(String, String)> = items(node, "/status/conditions")
                .iter()
                .map(|one| (text(one, "/type").to_owned(), text(one, "/status").to_owned()))
                .collect();
            (conditions, node["spec"]["unschedulable"].clone(), node["spec"]["taints"].clone())
        };
        if event.old.as_ref().map(|old| matters(old)) != Some(matters(node)) {
            queue.add(name.clone());
        }
        queue.add_after(name, self.grace);
        self.judge_all(queue);
    }

    /// When no node at all is ready it is more likely that this side is cut off: nobody is evicted.
    fn judge_all(&mut self, queue: &mut Queue<String>) {
        let all_down = self.nodes.values().all(|seen| !seen.ready);
        if all_down != self.all_down {
            self.all_down = all_down;
            self.nodes.keys().for_each(|name| queue.add(name.clone()));
        }
    }
}

impl Controller for NodeLifecycle {
    type Key = String;

    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<String>) {
        if about(event, &NODES) {
            self.notice_node(event, queue);
        } else if about(event, &LEASES) && namespace_of(event.object()) == "kube-node-lease" {
            self.hear(name_of(event.object()), queue);
        }
    }

    fn sync(&mut self, cx: &Cx, name: &String, queue: &mut Queue<String>) -> Result<(), Status> {
        let Some(seen) = self.nodes.get(name) else { return Ok(()) };
        let silent = seen.heard.elapsed();
        match self.grace.checked_sub(silent).filter(|left| !left.is_zero()) {
            Some(left) => queue.add_after(name.clone(), left),
            None => mark_unknown(cx, name)?,
        }
        let evict = !self.all_down;
        let now = cx.stamp();
        let Some(mut node) = cx.get(&NODES, "", name) else { return Ok(()) };
        // Most looks are at a node that only gave a sign of life: nothing is copied for them.
        if taints::right(&node, evict, &now) != items(&node, "/spec/taints") {
            let edited = cx.edit(&NODES, "", name, Subresource::None, |node| {
                node["spec"]["taints"] = json!(taints::right(node, evict, &now));
            })?;
            let Some(edited) = edited else { return Ok(()) };
            node = edited;
        }
        if condition_status(&node, "Ready") == "True" { Ok(()) } else { pods_not_ready(cx, &node) }
    }
}

/// Says of a silent node that nothing is known.
fn mark_unknown(cx: &Cx, name: &str) -> Result<(), Status> {
    let Some(node) = cx.get(&NODES, "", name) else { return Ok(()) };
    if condition_status(&node, "Ready") == "Unknown" {
        return Ok(());
    }
    let now = cx.stamp();
    let mut conditions = conditions_of(&node);
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        let old = conditions.iter().find(|one| one["type"] == kind);
        let heartbeat = old.map_or(json!(now), |old| old["lastHeartbeatTime"].clone());
        let (reason, message) = match old {
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        let condition = json!({
            "type": kind, "status": "Unknown", "reason": reason, "message": message,
            "lastHeartbeatTime": heartbeat,
        });
        set_condition(&mut conditions, condition, &now);
    }
    let mut status = node["status"].clone();
    status["conditions"] = json!(conditions);
    cx.set_status(&NODES, &node, status)?;
    cx.tell(&node, "Normal", "NodeNotReady", &format!("Node {name} status is now: NodeNotReady"));
    Ok(())
}

/// Takes the readiness of the pods on a node that isn't ready.
fn pods_not_ready(cx: &Cx, node: &Value) -> Result<(), Status> {
    if condition_status(node, "Ready") != "Unknown" {
        // A kubelet that talks speaks for its pods itself.
        return Ok(());
    }
    for pod in cx.direct.pods_on_node(name_of(node)).iter().filter(|pod| pods::is_ready(pod)) {
        let mut conditions = conditions_of(pod);
        for one in conditions.iter_mut().filter(|one| one["type"] == "Ready") {
            one["status"] = json!("False");
            one["lastTransitionTime"] = json!(cx.stamp());
        }
        let patch =
            json!({"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"conditions": conditions}});
        let (namespace, name) = (namespace_of(pod), name_of(pod));
        let done = cx.direct.merge_patch(&PODS, namespace, name, Subresource::Status, patch);
        gone_is_fine(done.map(|_| ()))?;
    }
    Ok(())
}
