//! Taint eviction: pods that don't tolerate a NoExecute taint, or no longer do, end.

use crate::controllers::context::{Cx, gone_is_fine};
use crate::controllers::objects::{Key, about, conditions_of, is_terminating, items, key_of, name_of, text};
use crate::controllers::placement::tolerates;
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::controllers::workloads::pods::{is_finished, node_of};
use crate::schema::builtin::{NODES, PODS};
use crate::server::{Event, Status, Subresource};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The taint eviction controller.
#[derive(Default)]
pub(crate) struct TaintEviction {
    /// Nodes with NoExecute taints, and since when: some taints don't say it themselves.
    tainted: BTreeMap<String, String>,
}

fn deadly(node: &Value) -> Vec<&Value> {
    items(node, "/spec/taints").iter().filter(|taint| taint["effect"] == "NoExecute").collect()
}

impl Controller for TaintEviction {
    type Key = Key;

    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn notice(&mut self, cx: &Cx, event: &Event, queue: &mut Queue<Key>) {
        if about(event, &NODES) {
            let name = name_of(event.object());
            let before = event.old.as_ref().map(|node| deadly(node)).unwrap_or_default();
            let after = event.new.as_ref().map(|node| deadly(node)).unwrap_or_default();
            if after.is_empty() {
                self.tainted.remove(name);
            } else if before != after || !self.tainted.contains_key(name) {
                self.tainted.insert(name.to_owned(), cx.stamp());
                cx.direct.pods_on_node(name).iter().for_each(|pod| queue.add(key_of(pod)));
            }
        } else if about(event, &PODS)
            && let Some(pod) = &event.new
            && self.tainted.contains_key(node_of(pod))
            && event.old.as_ref().is_none_or(|old| {
                node_of(old) != node_of(pod) || old["spec"]["tolerations"] != pod["spec"]["tolerations"]
            })
        {
            queue.add(key_of(pod));
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, queue: &mut Queue<Key>) -> Result<(), Status> {
        let Some(pod) = cx.get(&PODS, &key.0, &key.1) else { return Ok(()) };
        let Some(noticed) = self.tainted.get(node_of(&pod)) else { return Ok(()) };
        let Some(node) = cx.get(&NODES, "", node_of(&pod)) else { return Ok(()) };
        if is_terminating(&pod) || is_finished(&pod) {
            return Ok(());
        }
        let tolerations = items(&pod, "/spec/tolerations");
        let mut left: Option<Duration> = None;
        for taint in deadly(&node) {
            let seconds = match tolerated_for(taint, tolerations) {
                Tolerated::Not => return evict(cx, &pod),
                Tolerated::Always => continue,
                Tolerated::For(seconds) => seconds,
            };
            let since = taint["timeAdded"].as_str().unwrap_or(noticed);
            let Some(more) = cx.until(since, seconds) else { return evict(cx, &pod) };
            left = Some(left.map_or(more, |left| left.min(more)));
        }
        if let Some(left) = left {
            queue.add_after(key.clone(), left);
        }
        Ok(())
    }
}

/// How long a taint is tolerated.
enum Tolerated {
    Not,
    For(Duration),
    Always,
}

fn tolerated_for(taint: &Value, tolerations: &[Value]) -> Tolerated {
    let matching: Vec<&Value> = tolerations.iter().filter(|one| tolerates(one, taint)).collect();
    if matching.is_empty() {
        return Tolerated::Not;
    }
    let seconds = matching.iter().filter_map(|one| one["tolerationSeconds"].as_i64()).min();
    seconds.map_or(Tolerated::Always, |seconds| {
        Tolerated::For(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    })
}

fn evict(cx: &Cx, pod: &Value) -> Result<(), Status> {
    let (namespace, name) = key_of(pod);
    cx.tell(pod, "Normal", "TaintManagerEviction", &format!("Marking for deletion Pod {namespace}/{name}"));
    let mut conditions = conditions_of(pod);
    conditions.retain(|one| text(one, "/type") != "DisruptionTarget");
    conditions.push(json!({
        "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": cx.stamp(),
    }));
    let patch = json!({"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"conditions": conditions}});
    let done = cx.direct.merge_patch(&PODS, &namespace, &name, Subresource::Status, patch);
    gone_is_fine(done.map(|_| ()))?;
    cx.delete(&PODS, pod)
}
