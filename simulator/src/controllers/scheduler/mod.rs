//! The scheduler: which pod goes to which node.

mod cache;
mod filter;
mod quantity;
mod relations;
mod score;
mod volumes;

pub(super) use quantity::milli;

use super::context::Cx;
use super::objects::{Key, about, condition, conditions_of, is_terminating, items, key_of, name_of, text};
use super::placement::named_node;
use super::queue::Queue;
use super::runtime::{self, Controller, Task};
use super::workloads::pods::{is_finished, node_of};
use crate::schema::builtin::{
    NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, SERVICES, STORAGE_CLASSES,
};
use crate::server::{Event, Object, Status, Subresource};
use cache::{Cache, NodeInfo, PodInfo};
use relations::Relations;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use volumes::Volumes;

/// First wait before a pod that found no node is tried again.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Longest such wait.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// The scheduler as a task.
pub(super) fn task(seed: u64) -> Box<dyn Task> {
    runtime::task(Scheduler { seed, cache: Cache::default(), stuck: BTreeMap::new() })
}

/// A pod that found no node.
struct Stuck {
    tries: u32,
    last: Instant,
    named: Option<String>,
}

struct Scheduler {
    seed: u64,
    cache: Cache,
    stuck: BTreeMap<Key, Stuck>,
}

fn waits(pod: &Object) -> bool {
    node_of(pod).is_empty()
        && !pod.pod().terminating
        && !is_finished(pod)
        && ["", "default-scheduler"].contains(&text(pod, "/spec/schedulerName"))
        && items(pod, "/spec/schedulingGates").is_empty()
}

impl Scheduler {
    fn notice_pod(&mut self, event: &Event, queue: &mut Queue<Key>) {
        let key = key_of(event.object());
        match &event.new {
            Some(pod) if waits(pod) => {
                let same = event.old.as_ref().is_some_and(|old| old["spec"] == pod["spec"]);
                if !same || !self.stuck.contains_key(&key) {
                    queue.add(key);
                }
            }
            Some(pod) => {
                let held = self.cache.find(&key).is_some();
                self.cache.set_pod(pod);
                self.stuck.remove(&key);
                // What ends makes room; what starts may be what another wants to be with.
                if held != self.cache.find(&key).is_some() {
                    self.wake(None, queue);
                }
            }
            None => {
                self.stuck.remove(&key);
                if let Some(node) = self.cache.remove_pod(&key) {
                    self.wake(Some(&node), queue);
                }
            }
        }
    }

    fn notice_node(&mut self, event: &Event, queue: &mut Queue<Key>) {
        let name = name_of(event.object()).to_owned();
        let Some(node) = &event.new else {
            self.cache.remove_node(&name);
            return;
        };
        let matters = |node: &Value| {
            let (meta, spec) = (&node["metadata"], &node["spec"]);
            let parts =
                [&meta["labels"], &spec["taints"], &spec["unschedulable"], &node["status"]["allocatable"]];
            parts.map(Value::clone)
        };
        self.cache.set_node(node);
        if event.old.as_ref().map(|old| matters(old)) != Some(matters(node)) {
            self.wake(Some(&name), queue);
        }
    }

    /// Something changed: the pods that found no node are tried again after their back-off. A
    /// pod meant for one node cares only for that one.
    fn wake(&self, node: Option<&str>, queue: &mut Queue<Key>) {
        for (key, stuck) in &self.stuck {
            if let (Some(node), Some(named)) = (node, &stuck.named)
                && node != named
            {
                continue;
            }
            let wait = (FIRST_BACKOFF * 2u32.saturating_pow(stuck.tries.min(6))).min(LONGEST_BACKOFF);
            queue.add_after(key.clone(), wait.saturating_sub(stuck.last.elapsed()));
        }
    }

    /// The node for a pod, or why there is none.
    fn place(&self, cx: &Cx, pod: &PodInfo, volumes: &Volumes) -> Result<String, String> {
        let named = named_node(&pod.pod["spec"]);
        let all: Vec<&NodeInfo> = match named {
            Some(name) => self.cache.nodes.get(name).into_iter().collect(),
            None => self.cache.nodes.values().collect(),
        };
        let relations = Relations::of(cx, &self.cache, pod);
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let mut possible = Vec::new();
        for info in all.iter().filter(|info| !is_terminating(&info.node)) {
            let refusals = filter::refusals(&self.cache, pod, info, &relations, volumes);
            if refusals.is_empty() {
                possible.push(*info);
            }
            for reason in refusals {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        if let Some(best) = score::best(pod, &possible, &relations, self.seed) {
            return Ok(name_of(&best.node).to_owned());
        }
        let total = self.cache.nodes.len();
        let elsewhere = total.saturating_sub(all.len());
        if elsewhere > 0 {
            let reason = "node(s) didn't match Pod's node affinity/selector".to_owned();
            *reasons.entry(reason).or_default() += elsewhere;
        }
        Err(explain(total, &reasons))
    }

    fn give_up(&mut self, cx: &Cx, pod: &Object, message: &str) -> Result<(), Status> {
        let key = key_of(pod);
        let named = named_node(&pod["spec"]).map(str::to_owned);
        let tries = self.stuck.get(&key).map_or(0, |stuck| stuck.tries + 1);
        self.stuck.insert(key.clone(), Stuck { tries, last: Instant::now(), named });
        let known = condition(pod, "PodScheduled").is_some_and(|one| one["message"] == message);
        if known {
            return Ok(());
        }
        cx.tell(pod, "Warning", "FailedScheduling", message);
        let mut conditions = conditions_of(pod);
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
            "lastProbeTime": null,
        });
        super::objects::set_condition(&mut conditions, condition, &cx.stamp());
        let patch =
            json!({"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"conditions": conditions}});
        let done = cx.direct.merge_patch(&PODS, &key.0, &key.1, Subresource::Status, patch);
        super::context::gone_is_fine(done.map(|_| ()))
    }
}

/// The message of a pod that found no node.
fn explain(total: usize, reasons: &BTreeMap<String, usize>) -> String {
    if total == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut texts: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    texts.sort();
    let scarce: usize = reasons
        .iter()
        .filter(|(reason, _)| reason.starts_with("Insufficient") || *reason == "Too many pods")
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(0);
    let mut victims = Vec::new();
    if scarce > 0 {
        victims.push(format!("{scarce} No preemption victims found for incoming pod"));
    }
    if total > scarce {
        victims.push(format!("{} Preemption is not helpful for scheduling", total - scarce));
    }
    victims.sort();
    format!(
        "0/{total} nodes are available: {}. preemption: 0/{total} nodes are available: {}.",
        texts.join(", "),
        victims.join(", ")
    )
}

impl Controller for Scheduler {
    type Key = Key;

    fn name(&self) -> &'static str {
        "kube-scheduler"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Key>) {
        if about(event, &PODS) {
            self.notice_pod(event, queue);
        } else if about(event, &NODES) {
            self.notice_node(event, queue);
        } else if [&PERSISTENT_VOLUME_CLAIMS, &PERSISTENT_VOLUMES, &STORAGE_CLASSES, &SERVICES]
            .iter()
            .any(|resource| about(event, resource))
        {
            self.wake(None, queue);
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, _: &mut Queue<Key>) -> Result<(), Status> {
        let Some(pod) = cx.get(&PODS, &key.0, &key.1).filter(waits) else {
            self.stuck.remove(key);
            return Ok(());
        };
        let info = PodInfo::of(&pod);
        let volumes = match Volumes::of(cx, &pod) {
            Ok(volumes) => volumes,
            Err(reason) => {
                let total = self.cache.nodes.len();
                let message = format!(
                    "0/{total} nodes are available: {reason}. preemption: 0/{total} nodes are available: \
                     {total} Preemption is not helpful for scheduling."
                );
                return self.give_up(cx, &pod, &message);
            }
        };
        let node = match self.place(cx, &info, &volumes) {
            Ok(node) => node,
            Err(message) => return self.give_up(cx, &pod, &message),
        };
        if volumes.wait() {
            volumes.choose(cx, &node)?;
            self.stuck.insert(key.clone(), Stuck { tries: 0, last: Instant::now(), named: None });
            return Ok(());
        }
        super::context::gone_is_fine(cx.direct.bind(&key.0, &key.1, &node))?;
        self.stuck.remove(key);
        if let Some(bound) = cx.get(&PODS, &key.0, &key.1) {
            self.cache.set_pod(&bound);
        }
        let message = format!("Successfully assigned {}/{} to {node}", key.0, key.1);
        cx.tell(&pod, "Normal", "Scheduled", &message);
        Ok(())
    }
}
