//! StatefulSets: pods with names of their own, made, ended and replaced in order.

use super::replica_sets::note_owner;
use super::{pods, revisions, stateful_pod};
use crate::controllers::context::Cx;
use crate::controllers::objects::{
    Key, about, counts, is_terminating, key_of, name_of, number, text, uid_of,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::{PODS, STATEFUL_SETS};
use crate::server::{Event, Object, REVISION, Status};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The StatefulSet controller.
#[derive(Default)]
pub(crate) struct StatefulSets;

impl Controller for StatefulSets {
    type Key = Key;

    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Key>) {
        if about(event, &STATEFUL_SETS) {
            queue.add(key_of(event.object()));
        } else if about(event, &PODS) {
            note_owner(event, "StatefulSet", queue);
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, queue: &mut Queue<Key>) -> Result<(), Status> {
        let Some(set) = cx.get(&STATEFUL_SETS, &key.0, &key.1) else { return Ok(()) };
        let hash = revisions::current(cx, &STATEFUL_SETS, &set)?;
        let update = format!("{}-{hash}", name_of(&set));
        let current = match text(&set, "/status/currentRevision") {
            "" => update.clone(),
            known => known.to_owned(),
        };
        let mut round = Round { cx, set: &set, current: &current, update: &update, queue, key };
        let outcome = if is_terminating(&set) { Ok(()) } else { round.manage() };
        let status = round.status();
        cx.set_status(&STATEFUL_SETS, &set, status)?;
        outcome?;
        revisions::clean_up(cx, &STATEFUL_SETS, &set, &hash)
    }
}

/// The number at the end of a pod's name.
fn ordinal(pod: &Value) -> Option<i64> {
    name_of(pod).rsplit_once('-')?.1.parse().ok()
}

/// One look at one set.
struct Round<'a> {
    cx: &'a Cx,
    set: &'a Value,
    current: &'a str,
    update: &'a str,
    queue: &'a mut Queue<Key>,
    key: &'a Key,
}

impl Round<'_> {
    fn pods(&self) -> BTreeMap<i64, Object> {
        let all = pods::managed(self.cx, uid_of(self.set)).into_iter();
        all.filter_map(|pod| Some((ordinal(&pod)?, pod))).collect()
    }

    fn start(&self) -> i64 {
        number(self.set, "/spec/ordinals/start", 0)
    }

    fn end(&self) -> i64 {
        self.start() + number(self.set, "/spec/replicas", 1)
    }

    fn partition(&self) -> i64 {
        number(self.set, "/spec/updateStrategy/rollingUpdate/partition", 0)
    }

    /// Whether the pod has been ready for long enough.
    fn available(&mut self, pod: &Object) -> bool {
        let min_ready = number(self.set, "/spec/minReadySeconds", 0);
        match pods::availability(self.cx, pod, min_ready) {
            Ok(()) => true,
            Err(left) => {
                if let Some(left) = left {
                    self.queue.add_after(self.key.clone(), left);
                }
                false
            }
        }
    }

    fn manage(&mut self) -> Result<(), Status> {
        let ordered = text(self.set, "/spec/podManagementPolicy") != "Parallel";
        let pods = self.pods();
        for at in self.start()..self.end() {
            let Some(pod) = pods.get(&at) else {
                self.create(at)?;
                if ordered {
                    return Ok(());
                }
                continue;
            };
            if pods::is_finished(pod) && !is_terminating(pod) {
                // It is made again once it is gone.
                self.cx.delete(&PODS, pod)?;
                return Ok(());
            }
            if ordered && (is_terminating(pod) || !self.available(pod)) {
                return Ok(());
            }
        }
        let outside = |at: i64, from: i64, to: i64| at < from || at >= to;
        let surplus: Vec<&Object> = pods
            .iter()
            .rev()
            .filter(|(at, _)| outside(**at, self.start(), self.end()))
            .map(|(_, pod)| pod)
            .collect();
        for pod in &surplus {
            if !is_terminating(pod) {
                self.cx.delete(&PODS, pod)?;
            }
            if ordered {
                return Ok(());
            }
        }
        if surplus.is_empty() { self.replace(&pods) } else { Ok(()) }
    }

    /// Ends the last pod of an older revision, once all behind it are available again.
    fn replace(&mut self, pods: &BTreeMap<i64, Object>) -> Result<(), Status> {
        if text(self.set, "/spec/updateStrategy/type") == "OnDelete" {
            return Ok(());
        }
        for at in (self.start() + self.partition()..self.end()).rev() {
            let Some(pod) = pods.get(&at) else { return Ok(()) };
            if pod["metadata"]["labels"][REVISION] != self.update {
                return if is_terminating(pod) { Ok(()) } else { self.cx.delete(&PODS, pod) };
            }
            if is_terminating(pod) || !self.available(pod) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes a pod; those before the partition keep the revision that the set had.
    fn create(&self, at: i64) -> Result<(), Status> {
        let old = at < self.start() + self.partition() && self.current != self.update;
        let template = if old { revisions::template(self.cx, self.set, self.current) } else { None };
        let (template, revision) = match template {
            Some(template) => (template, self.current),
            None => (self.set["spec"]["template"].clone(), self.update),
        };
        stateful_pod::create(self.cx, self.set, at, &template, revision)
    }

    fn status(&mut self) -> Value {
        let wanted = number(self.set, "/spec/replicas", 1);
        let (mut ready, mut available, mut current, mut updated, mut replicas) = (0, 0, 0, 0, 0);
        for pod in self.pods().values().filter(|pod| !pods::is_finished(pod)) {
            replicas += 1;
            ready += i64::from(pods::is_ready(pod));
            available += i64::from(self.available(pod));
            if is_terminating(pod) {
                continue;
            }
            let revision = &pod["metadata"]["labels"][REVISION];
            current += i64::from(*revision == self.current);
            updated += i64::from(*revision == self.update);
        }
        let done = updated == wanted && ready == wanted && replicas == wanted;
        let revision = if done { self.update } else { self.current };
        let mut fields = counts(&[
            ("readyReplicas", ready),
            ("currentReplicas", if done { updated } else { current }),
            ("updatedReplicas", updated),
        ]);
        fields.insert("replicas".into(), json!(replicas));
        fields.insert("availableReplicas".into(), json!(available));
        fields.insert("collisionCount".into(), json!(number(self.set, "/status/collisionCount", 0)));
        fields.insert("currentRevision".into(), json!(revision));
        fields.insert("updateRevision".into(), json!(self.update));
        fields.insert("observedGeneration".into(), self.set["metadata"]["generation"].clone());
        Value::Object(fields)
    }
}
