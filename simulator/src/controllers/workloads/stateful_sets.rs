//! StatefulSets: pods with names of their own, made and replaced in order.

use super::pods;
use super::replica_sets::note_owner;
use crate::controllers::context::Cx;
use crate::controllers::objects::{
    Key, about, counts, is_terminating, items, key_of, name_of, namespace_of, number, short_hash, text,
    uid_of,
};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::{PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS};
use crate::server::{Event, Object, Status};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The label that tells a pod's revision.
const REVISION: &str = "controller-revision-hash";

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

    fn sync(&mut self, cx: &Cx, key: &Key, _: &mut Queue<Key>) -> Result<(), Status> {
        let Some(set) = cx.get(&STATEFUL_SETS, &key.0, &key.1) else { return Ok(()) };
        let revision = revision_of(&set);
        if !is_terminating(&set) {
            Round { cx, set: &set, revision: &revision }.manage()?;
        }
        let pods = pods::managed(cx, uid_of(&set));
        cx.set_status(&STATEFUL_SETS, &set, status(&set, &pods, &revision))
    }
}

fn revision_of(set: &Value) -> String {
    let template = set["spec"]["template"].to_string();
    format!("{}-{}", name_of(set), short_hash(&[&template]))
}

/// The number at the end of a pod's name.
fn ordinal(pod: &Value) -> Option<i64> {
    name_of(pod).rsplit_once('-')?.1.parse().ok()
}

/// One look at one set.
struct Round<'a> {
    cx: &'a Cx,
    set: &'a Value,
    revision: &'a str,
}

impl Round<'_> {
    fn manage(&self) -> Result<(), Status> {
        let first = number(self.set, "/spec/ordinals/start", 0);
        let wanted = number(self.set, "/spec/replicas", 1);
        let parallel = text(self.set, "/spec/podManagementPolicy") == "Parallel";
        let pods: BTreeMap<i64, Object> = pods::managed(self.cx, uid_of(self.set))
            .into_iter()
            .filter_map(|pod| Some((ordinal(&pod)?, pod)))
            .collect();
        for at in first..first + wanted {
            match pods.get(&at) {
                None => {
                    self.create(at)?;
                    if !parallel {
                        return Ok(());
                    }
                }
                Some(pod) if pods::is_finished(pod) && !is_terminating(pod) => {
                    self.cx.delete(&PODS, pod)?;
                    return Ok(());
                }
                // The next one waits for this one; a pod that ends must be gone before it is made again.
                Some(pod) if !parallel && (is_terminating(pod) || !pods::is_ready(pod)) => return Ok(()),
                Some(_) => {}
            }
        }
        self.shrink(&pods, first + wanted, parallel)?;
        self.update(&pods, first + wanted)
    }

    /// Takes pods away from the end, one at a time.
    fn shrink(&self, pods: &BTreeMap<i64, Object>, end: i64, parallel: bool) -> Result<(), Status> {
        for (_, pod) in pods.range(end..).rev() {
            if !is_terminating(pod) {
                self.cx.delete(&PODS, pod)?;
            }
            if !parallel {
                break;
            }
        }
        Ok(())
    }

    /// Replaces the last pod that has an older revision.
    fn update(&self, pods: &BTreeMap<i64, Object>, end: i64) -> Result<(), Status> {
        if text(self.set, "/spec/updateStrategy/type") == "OnDelete" || pods.range(end..).next().is_some() {
            return Ok(());
        }
        let from = number(self.set, "/spec/updateStrategy/rollingUpdate/partition", 0);
        for (_, pod) in pods.range(from.min(end)..end).rev() {
            if pod["metadata"]["labels"][REVISION] != self.revision {
                return if is_terminating(pod) { Ok(()) } else { self.cx.delete(&PODS, pod) };
            }
            if !pods::is_ready(pod) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn create(&self, at: i64) -> Result<(), Status> {
        let name = format!("{}-{at}", name_of(self.set));
        self.claims(&name)?;
        let mut pod = pods::from_template(&self.set["spec"]["template"], &STATEFUL_SETS, self.set);
        if let Some(metadata) = pod["metadata"].as_object_mut() {
            metadata.remove("generateName");
        }
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["labels"][REVISION] = json!(self.revision);
        pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = json!(name);
        pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!(at.to_string());
        pod["spec"]["hostname"] = json!(name);
        if let Some(service) = self.set["spec"].get("serviceName") {
            pod["spec"]["subdomain"] = service.clone();
        }
        let volumes = items(self.set, "/spec/volumeClaimTemplates").iter().map(|template| {
            let claim = name_of(template);
            json!({"name": claim, "persistentVolumeClaim": {"claimName": format!("{claim}-{name}")}})
        });
        let mut all: Vec<Value> = items(&pod, "/spec/volumes").to_vec();
        all.extend(volumes);
        if !all.is_empty() {
            pod["spec"]["volumes"] = Value::Array(all);
        }
        pods::create(self.cx, self.set, pod).map(|_| ())
    }

    /// The claims of one pod; they outlive it.
    fn claims(&self, pod: &str) -> Result<(), Status> {
        for template in items(self.set, "/spec/volumeClaimTemplates") {
            let name = format!("{}-{pod}", name_of(template));
            if self.cx.get(&PERSISTENT_VOLUME_CLAIMS, namespace_of(self.set), &name).is_some() {
                continue;
            }
            let claim = json!({
                "metadata": {
                    "name": name, "namespace": namespace_of(self.set),
                    "labels": self.set["spec"]["selector"]["matchLabels"],
                },
                "spec": template["spec"],
            });
            self.cx.direct.create(&PERSISTENT_VOLUME_CLAIMS, claim)?;
        }
        Ok(())
    }
}

fn status(set: &Value, pods: &[Object], revision: &str) -> Value {
    let active = pods.iter().filter(|pod| pods::is_active(pod));
    let ready = active.clone().filter(|pod| pods::is_ready(pod));
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let updated = active.clone().filter(|pod| pod["metadata"]["labels"][REVISION] == revision);
    let (replicas, updated) = (count(active.count()), count(updated.count()));
    let ready = count(ready.count());
    let mut fields =
        counts(&[("readyReplicas", ready), ("currentReplicas", updated), ("updatedReplicas", updated)]);
    fields.insert("availableReplicas".into(), json!(ready));
    fields.insert("replicas".into(), json!(replicas));
    fields.insert("collisionCount".into(), json!(0));
    fields.insert("observedGeneration".into(), set["metadata"]["generation"].clone());
    fields.insert("updateRevision".into(), json!(revision));
    let current = match text(set, "/status/currentRevision") {
        "" => revision,
        _ if updated >= number(set, "/spec/replicas", 1) => revision,
        before => before,
    };
    fields.insert("currentRevision".into(), json!(current));
    Value::Object(fields)
}
