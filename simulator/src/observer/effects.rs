//! What somebody did to the cluster's objects, from the store's own changes: to see that each effect
//! happened once, whatever happened to whoever caused it.

use crate::server::{Changes, Event, EventKind, Server};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A pod that was sent away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSent {
    /// `namespace/name`.
    pub pod: String,
    /// The incarnation.
    pub uid: String,
    /// The node it ran on.
    pub node: String,
    /// `eviction`, or `deletion` if nobody's budget was asked.
    pub by: &'static str,
}

/// Something that happened more than once and should not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repeated {
    /// `create`, `delete`, or `change` for a change from and to the same as before.
    pub effect: &'static str,
    /// `group/kind/namespace/name`.
    pub object: String,
    /// How often.
    pub times: u32,
}

/// One client's effects on objects.
pub struct Effects {
    changes: Changes,
    client: String,
    pods: Vec<PodSent>,
    objects: BTreeMap<(String, &'static str), u32>,
    transitions: BTreeMap<(String, Transition), u32>,
}

/// From which content to which, of which incarnation.
type Transition = [u8; 16];

impl Effects {
    /// What clients whose name begins so do from now on.
    pub fn of(client: &str, server: &Server) -> Self {
        Self {
            changes: server.direct("observer").changes(),
            client: client.to_owned(),
            pods: Vec::new(),
            objects: BTreeMap::new(),
            transitions: BTreeMap::new(),
        }
    }

    /// Keeps up with the store; never ends. Cancel-safe.
    pub async fn follow(&mut self) {
        loop {
            let events = self.changes.next().await;
            self.take_all(&events);
        }
    }

    /// Takes in what happened up to now.
    pub fn catch_up(&mut self) {
        let events = self.changes.ready();
        self.take_all(&events);
    }

    /// The pods that were sent away, in order.
    pub fn pods(&self) -> &[PodSent] {
        &self.pods
    }

    /// How often each object was created, deleted or changed.
    pub fn objects(&self) -> impl Iterator<Item = (&str, &'static str, u32)> {
        self.objects.iter().map(|((object, effect), times)| (object.as_str(), *effect, *times))
    }

    /// What happened more than once: an object of one name made or deleted twice, or changed twice from
    /// the same to the same.
    pub fn repeated(&self) -> Vec<Repeated> {
        let made = self.objects.iter().filter(|((_, effect), _)| *effect != "change");
        let made =
            made.map(|((object, effect), times)| Repeated { effect, object: object.clone(), times: *times });
        let changed = self.transitions.iter();
        let changed = changed.map(|((object, _), times)| Repeated {
            effect: "change",
            object: object.clone(),
            times: *times,
        });
        let mut all: Vec<Repeated> = made.chain(changed).filter(|repeated| repeated.times > 1).collect();
        all.sort();
        all
    }

    fn take_all(&mut self, events: &[Event]) {
        for event in events {
            self.take(event);
        }
    }

    fn take(&mut self, event: &Event) {
        if !event.client.starts_with(&self.client) {
            return;
        }
        let key = key(event);
        if is_deletion(event) {
            if event.resource.plural == "pods" && event.resource.group.is_empty() {
                self.pods.push(pod_sent(event));
            } else {
                *self.objects.entry((key, "delete")).or_default() += 1;
            }
            return;
        }
        match (&event.old, &event.new) {
            (None, Some(_)) => *self.objects.entry((key, "create")).or_default() += 1,
            (Some(old), Some(new)) => {
                let (from, to) = (content(old), content(new));
                if from != to {
                    *self.transitions.entry((key.clone(), transition(new, &from, &to))).or_default() += 1;
                    *self.objects.entry((key, "change")).or_default() += 1;
                }
            }
            _ => {}
        }
    }
}

/// Whether this change is the one with which an object's end begins.
fn is_deletion(event: &Event) -> bool {
    let ends = |object: &Value| object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
    let before = event.old.as_ref().is_some_and(|old| ends(old));
    !before && (event.kind == EventKind::Deleted || event.new.as_ref().is_some_and(|new| ends(new)))
}

fn pod_sent(event: &Event) -> PodSent {
    let pod = event.object();
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let evicted = conditions
        .into_iter()
        .any(|c| c["type"] == "DisruptionTarget" && c["reason"] == "EvictionByEvictionAPI");
    PodSent {
        pod: format!("{}/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name")),
        uid: text(pod, "/metadata/uid").to_owned(),
        node: text(pod, "/spec/nodeName").to_owned(),
        by: if evicted { "eviction" } else { "deletion" },
    }
}

fn key(event: &Event) -> String {
    let group = if event.resource.group.is_empty() { "core" } else { &event.resource.group };
    let object = event.object();
    let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    format!("{group}/{}/{namespace}/{name}", event.resource.kind)
}

/// An object without what the server writes by itself.
fn content(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["resourceVersion", "managedFields", "generation"] {
            metadata.remove(field);
        }
    }
    object
}

fn transition(object: &Value, from: &Value, to: &Value) -> Transition {
    let mut digest = Sha256::new();
    digest.update(text(object, "/metadata/uid"));
    digest.update(from.to_string());
    digest.update([0]);
    digest.update(to.to_string());
    let mut short = [0; 16];
    short.copy_from_slice(&digest.finalize()[..16]);
    short
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
    use serde_json::json;

    fn map(name: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": "1"}})).unwrap()
    }

    #[tokio::test]
    async fn what_is_done_twice_is_named_and_what_others_do_is_not() {
        let server = Server::new(Clock::fixed(), 1);
        let mut effects = Effects::of("replank", &server);
        for client in ["replank/0.1", "kubectl/1.34"] {
            let maps: Api<ConfigMap> = Api::namespaced(server.client(client), "default");
            let name = client.split('/').next().unwrap();
            for _ in 0..2 {
                maps.create(&PostParams::default(), &map(name)).await.unwrap();
                maps.delete(name, &DeleteParams::default()).await.unwrap();
            }
        }
        effects.catch_up();
        let told: Vec<(&str, String)> =
            effects.repeated().into_iter().map(|r| (r.effect, format!("{} {}", r.object, r.times))).collect();
        let object = "core/ConfigMap/default/replank 2".to_owned();
        assert_eq!(told, [("create", object.clone()), ("delete", object)]);
    }

    #[tokio::test]
    async fn a_change_back_and_forth_is_one_that_happened_twice() {
        let server = Server::new(Clock::fixed(), 1);
        let mut effects = Effects::of("replank", &server);
        let maps: Api<ConfigMap> = Api::namespaced(server.client("replank/0.1"), "default");
        maps.create(&PostParams::default(), &map("a")).await.unwrap();
        let set = async |value: &str| {
            let patch = Patch::Merge(json!({"data": {"a": value}}));
            maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
        };
        set("2").await;
        set("2").await;
        effects.catch_up();
        assert!(effects.repeated().is_empty(), "the second one changed nothing");
        set("1").await;
        set("2").await;
        effects.catch_up();
        assert_eq!(effects.repeated().len(), 1, "{:?}", effects.repeated());
    }
}
