//! DaemonSets: one pod on every node that wants one.

use super::daemon_update as update;
use super::orphans::Orphans;
use super::pods;
use super::replica_sets::note_owner;
use super::revisions;
use crate::controllers::context::Cx;
use crate::controllers::objects::{
    Key, about, counts, is_terminating, key_of, name_of, number, text, uid_of,
};
use crate::controllers::placement::{node_wanted, toleration, untolerated};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::schema::builtin::{DAEMON_SETS, NODES, PODS};
use crate::server::{Event, Object, Phase, REVISION, Status};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const GENERATION: &str = "pod-template-generation";

/// The DaemonSet controller.
pub(crate) struct DaemonSets {
    orphans: Orphans,
    sets: BTreeSet<Key>,
    nodes: BTreeMap<String, Object>,
    /// Where each set's pods may be: all of it until the set changes, a Node's place until what is looked at of it does.
    places: BTreeMap<Key, (String, Arc<Places>)>,
}

/// What a DaemonSet wants of every node.
type Places = BTreeMap<String, Place>;

impl DaemonSets {
    pub(crate) fn new() -> Self {
        Self {
            orphans: Orphans::new(PODS),
            sets: BTreeSet::new(),
            nodes: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    fn notice_node(&mut self, event: &Event, queue: &mut Queue<Key>) {
        let name = name_of(event.object()).to_owned();
        let matters = |node: &Value| (node["metadata"]["labels"].clone(), node["spec"]["taints"].clone());
        let before = self.nodes.get(&name).map(|node| matters(node));
        let after = event.new.as_ref().map(|node| matters(node));
        match &event.new {
            Some(node) => self.nodes.insert(name.clone(), node.clone()),
            None => self.nodes.remove(&name),
        };
        if before != after {
            for (_, places) in self.places.values_mut() {
                Arc::make_mut(places).remove(&name);
            }
            self.sets.iter().for_each(|key| queue.add(key.clone()));
        }
    }
}

/// The pods of one DaemonSet by the node that they are on or meant for.
pub(super) type ByNode = BTreeMap<String, Vec<Object>>;

/// A DaemonSet's pods as they were at a revision of the store.
struct Seen {
    revision: u64,
    pods: ByNode,
}

impl Seen {
    fn of(cx: &Cx, set: &Value) -> Self {
        Self { revision: cx.direct.revision(), pods: by_node(pods::managed(cx, uid_of(set))) }
    }

    /// Looks again, unless nothing has changed.
    fn again(&mut self, cx: &Cx, set: &Value) {
        if cx.direct.revision() != self.revision {
            *self = Self::of(cx, set);
        }
    }
}

fn by_node(all: Vec<Object>) -> ByNode {
    let mut nodes = ByNode::new();
    for pod in all {
        if let Some(node) = target(&pod) {
            nodes.entry(node).or_default().push(pod);
        }
    }
    for pods in nodes.values_mut().filter(|pods| pods.len() > 1) {
        pods.sort_by_key(|pod| text(pod, "/metadata/creationTimestamp").to_owned());
    }
    nodes
}

/// The node a daemon's pod is on or meant for.
fn target(pod: &Object) -> Option<String> {
    let bound = pods::node_of(pod);
    if !bound.is_empty() {
        return Some(bound.to_owned());
    }
    crate::controllers::placement::named_node(&pod["spec"]).map(str::to_owned)
}

impl Controller for DaemonSets {
    type Key = Key;

    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn notice(&mut self, cx: &Cx, event: &Event, queue: &mut Queue<Key>) {
        if about(event, &DAEMON_SETS) {
            let key = key_of(event.object());
            match event.new {
                Some(_) => self.sets.insert(key.clone()),
                None => self.sets.remove(&key),
            };
            self.places.remove(&key);
            queue.add(key);
        } else if about(event, &NODES) {
            self.notice_node(event, queue);
        } else if about(event, &PODS) {
            note_owner(event, "DaemonSet", queue);
            if self.orphans.notice(event) {
                let keys = Orphans::would_adopt(cx, &DAEMON_SETS, event.object());
                queue.add_all(keys);
            }
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, queue: &mut Queue<Key>) -> Result<(), Status> {
        let Some(set) = cx.get(&DAEMON_SETS, &key.0, &key.1) else { return Ok(()) };
        if is_terminating(&set) {
            return Ok(());
        }
        self.orphans.adopt(cx, &DAEMON_SETS, &set)?;
        let hash = revisions::current(cx, &DAEMON_SETS, &set)?;
        let places = self.places(key, &set);
        let mut seen = Seen::of(cx, &set);
        let managed = manage(cx, &set, &places, &seen.pods, &hash, queue, key);
        if managed.is_ok() && text(&set, "/spec/updateStrategy/type") != "OnDelete" {
            seen.again(cx, &set);
            update::roll(cx, &set, &places, &seen.pods, &hash, queue, key)?;
        }
        seen.again(cx, &set);
        write_status(cx, &set, &places, &seen.pods, &hash, queue, key)?;
        revisions::clean_up(cx, &DAEMON_SETS, &set, &hash)?;
        managed
    }
}

/// Whether a node should get a pod, and whether one that is there may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) run: bool,
    stay: bool,
}

impl DaemonSets {
    fn places(&mut self, key: &Key, set: &Value) -> Arc<Places> {
        let version = format!("{}/{}", uid_of(set), number(set, "/metadata/generation", 0));
        let mut places = match self.places.remove(key) {
            Some((known, places)) if known == version => places,
            _ => Arc::default(),
        };
        if places.len() != self.nodes.len() {
            self.look_at_nodes(set, Arc::make_mut(&mut places));
        }
        self.places.insert(key.clone(), (version, places.clone()));
        places
    }

    /// Fills in the places on the nodes that were not looked at yet.
    fn look_at_nodes(&self, set: &Value, places: &mut Places) {
        let spec = &set["spec"]["template"]["spec"];
        let tolerations = tolerations(spec);
        let named = spec["nodeName"].as_str().unwrap_or("");
        let place = |name: &str, node: &Value| {
            if !named.is_empty() && named != name || !node_wanted(spec, node) {
                return Place { run: false, stay: false };
            }
            let taints = node["spec"]["taints"].as_array().map_or(&[][..], Vec::as_slice);
            let stay = untolerated(taints, &tolerations, &["NoExecute"]).is_none();
            Place { run: untolerated(taints, &tolerations, &["NoSchedule", "NoExecute"]).is_none(), stay }
        };
        let unknown: Vec<_> = self.nodes.iter().filter(|(name, _)| !places.contains_key(*name)).collect();
        places.extend(unknown.into_iter().map(|(name, node)| (name.clone(), place(name, node))));
    }
}

/// What a daemon's pod tolerates: its own list and what every daemon does.
fn tolerations(spec: &Value) -> Vec<Value> {
    let mut list = spec["tolerations"].as_array().cloned().unwrap_or_default();
    let mut all = vec![
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ];
    if spec["hostNetwork"] == true {
        all.push(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    }
    for (key, effect) in all {
        let one = toleration(key, effect);
        if !list.contains(&one) {
            list.push(one);
        }
    }
    list
}

/// Makes the pods that are missing, deletes those that are too many or have failed.
fn manage(
    cx: &Cx,
    set: &Value,
    places: &BTreeMap<String, Place>,
    all: &ByNode,
    hash: &str,
    queue: &mut Queue<Key>,
    key: &Key,
) -> Result<(), Status> {
    let surge = update::max_surge(set, places) > 0;
    for (node, place) in places {
        let here = all.get(node).map_or(&[][..], Vec::as_slice);
        if place.run && here.is_empty() {
            create(cx, set, node, hash)?;
            continue;
        }
        let mut running: Vec<&Object> = Vec::new();
        for pod in here.iter().filter(|pod| !pod.pod().terminating) {
            if pod.pod().phase == Phase::Failed {
                let message = format!(
                    "Found failed daemon pod {} on node {node}, will try to kill it",
                    key_of(pod).0 + "/" + name_of(pod)
                );
                cx.tell(set, "Warning", "FailedDaemonPod", &message);
                cx.delete(&PODS, pod)?;
                queue.add_after(key.clone(), Duration::from_secs(1));
            } else {
                running.push(pod);
            }
        }
        if !place.stay {
            for pod in running {
                cx.delete(&PODS, pod)?;
            }
        } else if place.run && running.len() > 1 {
            for pod in surplus(cx, set, &running, hash, surge) {
                cx.delete(&PODS, pod)?;
            }
        }
    }
    Ok(())
}

/// The pods beyond the first; with a surge an old and a new one may be side by side.
fn surplus<'a>(cx: &Cx, set: &Value, running: &[&'a Object], hash: &str, surge: bool) -> Vec<&'a Object> {
    let is_new = |pod: &Object| &*pod.pod().revision == hash;
    if !surge {
        let mut order = running.to_vec();
        // Bound ones before others, older ones before younger ones.
        order.sort_by_key(|pod| pods::node_of(pod).is_empty());
        return order.split_off(1);
    }
    let min_ready = number(set, "/spec/minReadySeconds", 0);
    let (new, old): (Vec<&Object>, Vec<&Object>) = running.iter().partition(|pod| is_new(pod));
    let available = |pod: &&&Object| pods::availability(cx, pod, min_ready).is_ok();
    let mut extra: Vec<&Object> = new.iter().skip(1).copied().collect();
    match (new.first(), old.iter().find(|pod| available(pod))) {
        (Some(first), _) if pods::availability(cx, first, min_ready).is_ok() => extra.extend(old),
        (Some(_), keep) => extra.extend(old.iter().filter(|pod| Some(pod) != keep.as_ref()).copied()),
        (None, _) => extra.extend(old.iter().skip(1).copied()),
    }
    extra
}

/// Creates the pod of a node; the scheduler binds it there.
pub(super) fn create(cx: &Cx, set: &Value, node: &str, hash: &str) -> Result<(), Status> {
    let mut pod = pods::from_template(&set["spec"]["template"], &DAEMON_SETS, set);
    pod["metadata"]["labels"][REVISION] = json!(hash);
    let generation = text(set, "/metadata/annotations/deprecated.daemonset.template.generation");
    if !generation.is_empty() {
        pod["metadata"]["labels"][GENERATION] = json!(generation);
    }
    let spec = &mut pod["spec"];
    spec["tolerations"] = json!(tolerations(spec));
    let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
    let required = &mut spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    // The node has passed the template's own terms; this one term replaces them.
    *required = json!({"nodeSelectorTerms": [{"matchFields": [field]}]});
    pods::create(cx, set, pod).map(|_| ())
}

fn write_status(
    cx: &Cx,
    set: &Value,
    places: &BTreeMap<String, Place>,
    all: &ByNode,
    hash: &str,
    queue: &mut Queue<Key>,
    key: &Key,
) -> Result<(), Status> {
    let min_ready = number(set, "/spec/minReadySeconds", 0);
    let (mut desired, mut current, mut wrong, mut ready, mut available, mut updated) = (0, 0, 0, 0, 0, 0);
    for (node, place) in places {
        let here: Vec<&Object> =
            all.get(node).into_iter().flatten().filter(|pod| !pod.pod().terminating).collect();
        if !place.run {
            wrong += i64::from(!here.is_empty());
            continue;
        }
        desired += 1;
        current += i64::from(!here.is_empty());
        if here.iter().any(|pod| pods::is_ready(pod)) {
            ready += 1;
            let states: Vec<_> = here.iter().map(|pod| pods::availability(cx, pod, min_ready)).collect();
            available += i64::from(states.iter().any(Result::is_ok));
            states.into_iter().filter_map(|state| state.err().flatten()).for_each(|left| {
                queue.add_after(key.clone(), left);
            });
        }
        updated += i64::from(here.iter().any(|pod| &*pod.pod().revision == hash));
    }
    let mut fields = counts(&[
        ("updatedNumberScheduled", updated),
        ("numberAvailable", available),
        ("numberUnavailable", desired - available),
        ("collisionCount", number(set, "/status/collisionCount", 0)),
    ]);
    for (name, count) in [
        ("currentNumberScheduled", current),
        ("numberMisscheduled", wrong),
        ("desiredNumberScheduled", desired),
        ("numberReady", ready),
        ("observedGeneration", number(set, "/metadata/generation", 0)),
    ] {
        fields.insert(name.into(), json!(count));
    }
    cx.set_status(&DAEMON_SETS, set, Value::Object(fields))
}
