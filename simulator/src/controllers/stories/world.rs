//! A server, its controllers, and stand-ins for kubelets: pods start at once and end at once.

use crate::clock::Clock;
use crate::controllers::context::Cx;
use crate::controllers::objects::{Key, about, is_terminating, key_of, name_of, text, uid_of};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::{self, Controller, task};
use crate::controllers::workloads::pods::{is_finished, is_ready, node_of};
use crate::controllers::{manager, scheduler};
use crate::schema::Resource;
use crate::schema::builtin::{LEASES, NODES, PODS};
use crate::server::{DeleteOptions, Direct, Event, Object, Server, Status, Subresource};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

type Silent = Arc<Mutex<BTreeSet<String>>>;

/// The cluster of a story.
pub(super) struct World {
    pub(super) server: Server,
    pub(super) direct: Direct,
    silent: Silent,
    tasks: JoinSet<()>,
}

impl World {
    /// A cluster with these nodes and all controllers.
    pub(super) fn new(nodes: &[&str]) -> Self {
        Self::with_flags(nodes, &[])
    }

    pub(super) fn with_flags(nodes: &[&str], flags: &[(&str, &str)]) -> Self {
        let server = Server::new(Clock::fixed(), 7);
        let mut world =
            Self { direct: server.direct("story"), server, silent: Silent::default(), tasks: JoinSet::new() };
        for node in nodes {
            world.add_node(node, json!({}));
        }
        world.start_manager(flags).expect("the controller-manager starts");
        let cx = Cx::new(&world.server, "kube-scheduler");
        world.tasks.spawn(async move { runtime::run(&cx, vec![scheduler::task(7)]).await });
        let cx = Cx::new(&world.server, "kubelet");
        let kubelets = Kubelets { silent: world.silent.clone() };
        world.tasks.spawn(async move { runtime::run(&cx, vec![task(kubelets)]).await });
        world
    }

    /// Starts a controller-manager, or says why it doesn't.
    pub(super) fn start_manager(&mut self, flags: &[(&str, &str)]) -> Result<(), String> {
        let cx = Cx::new(&self.server, "kube-controller-manager");
        let flag =
            |name: &str| flags.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let tasks = manager::tasks(&cx, &flag, &crate::machines::Durations::default())?;
        self.tasks.spawn(async move { runtime::run(&cx, tasks).await });
        Ok(())
    }

    /// A node that is ready, changed as told.
    pub(super) fn add_node(&self, name: &str, change: Value) {
        let mut node = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {
                "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        json_patch::merge(&mut node, &change);
        self.create(&NODES, node);
        self.create(&LEASES, json!({"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": {}}));
    }

    /// From now on the node's kubelet says nothing.
    pub(super) fn silence(&self, node: &str) {
        self.silent.lock().unwrap().insert(node.to_owned());
    }

    pub(super) fn create(&self, resource: &Resource, object: Value) -> Object {
        self.direct.create(resource, object).unwrap()
    }

    /// Makes an object in `default` from its name and spec.
    pub(super) fn make(&self, resource: &Resource, name: &str, spec: Value) -> Object {
        let mut metadata = json!({"name": name});
        if resource.namespaced {
            metadata["namespace"] = json!("default");
        }
        self.create(resource, json!({"metadata": metadata, "spec": spec}))
    }

    pub(super) fn patch(&self, resource: &Resource, name: &str, patch: Value) -> Object {
        let namespace = if resource.namespaced { "default" } else { "" };
        self.direct.merge_patch(resource, namespace, name, Subresource::None, patch).unwrap()
    }

    pub(super) fn get(&self, resource: &Resource, name: &str) -> Option<Object> {
        self.direct.get(resource, if resource.namespaced { "default" } else { "" }, name)
    }

    pub(super) fn status(&self, resource: &Resource, name: &str) -> Value {
        self.get(resource, name).expect("the object is there")["status"].clone()
    }

    pub(super) fn delete(&self, resource: &Resource, name: &str) {
        let namespace = if resource.namespaced { "default" } else { "" };
        self.direct.delete(resource, namespace, name, DeleteOptions::default()).unwrap();
    }

    /// Asks for a pod's eviction.
    pub(super) fn evict(&self, pod: &str) -> Result<(), Status> {
        self.direct.evict("default", pod)
    }

    /// The pods with this label `app` that aren't ending.
    pub(super) fn pods(&self, app: &str) -> Vec<Object> {
        let mut pods = self.direct.list(&PODS, Some("default"));
        pods.retain(|pod| pod["metadata"]["labels"]["app"] == app && !is_terminating(pod));
        pods
    }

    pub(super) fn nodes_of(&self, app: &str) -> Vec<String> {
        let mut nodes: Vec<String> = self.pods(app).iter().map(|pod| node_of(pod).to_owned()).collect();
        nodes.sort();
        nodes
    }

    /// Waits, in virtual time, until something holds.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..4000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("waited in vain for {what}: {:#?}", self.direct.list(&PODS, Some("default")));
    }

    pub(super) async fn rest(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// A pod template with this label `app`.
pub(super) fn template(app: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": "example/web:1"}]},
    })
}

/// A workload's spec: selector, template and so many replicas.
pub(super) fn workload(app: &str, replicas: i64) -> Value {
    json!({"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template(app)})
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Duty {
    Pod(Key),
    Lease(String),
}

struct Kubelets {
    silent: Silent,
}

impl Kubelets {
    fn is_silent(&self, node: &str) -> bool {
        self.silent.lock().unwrap().contains(node)
    }
}

impl Controller for Kubelets {
    type Key = Duty;

    fn name(&self) -> &'static str {
        "kubelets"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Duty>) {
        let Some(object) = &event.new else { return };
        if about(event, &PODS) && !node_of(object).is_empty() {
            queue.add_after(Duty::Pod(key_of(object)), Duration::from_millis(200));
        } else if about(event, &NODES) {
            queue.add_after(Duty::Lease(name_of(object).to_owned()), Duration::from_secs(10));
        }
    }

    fn sync(&mut self, cx: &Cx, duty: &Duty, queue: &mut Queue<Duty>) -> Result<(), Status> {
        match duty {
            Duty::Lease(node) => {
                if !self.is_silent(node) && cx.get(&NODES, "", node).is_some() {
                    let patch = json!({"spec": {"renewTime": cx.clock.micro_now()}});
                    cx.direct.merge_patch(&LEASES, "kube-node-lease", node, Subresource::None, patch)?;
                }
                queue.add_after(duty.clone(), Duration::from_secs(10));
            }
            Duty::Pod(key) => {
                let Some(pod) = cx.get(&PODS, &key.0, &key.1) else { return Ok(()) };
                if self.is_silent(node_of(&pod)) || cx.get(&NODES, "", node_of(&pod)).is_none() {
                    return Ok(());
                }
                return run_pod(cx, &pod);
            }
        }
        Ok(())
    }
}

fn run_pod(cx: &Cx, pod: &Object) -> Result<(), Status> {
    let key = key_of(pod);
    if is_terminating(pod) {
        let options = DeleteOptions { uid: Some(uid_of(pod).to_owned()), ..DeleteOptions::now() };
        return cx.direct.delete(&PODS, &key.0, &key.1, options);
    }
    let image = text(pod, "/spec/containers/0/image");
    if is_finished(pod) || is_ready(pod) || image.contains("never-ready") {
        return Ok(());
    }
    let ends = text(pod, "/spec/restartPolicy") != "Always";
    let (phase, ready) = match (ends, image.contains("fails")) {
        (true, true) => ("Failed", "False"),
        (true, false) => ("Succeeded", "False"),
        (false, _) => ("Running", "True"),
    };
    let mut status = pod["status"].clone();
    status["phase"] = json!(phase);
    let version: u32 = text(pod, "/metadata/resourceVersion").parse().unwrap_or(1);
    status["podIP"] = json!(std::net::Ipv4Addr::from(0x0a00_0000 + version).to_string());
    status["podIPs"] = json!([{"ip": status["podIP"]}]);
    let now = cx.stamp();
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now});
    let ready = json!({"type": "Ready", "status": ready, "lastTransitionTime": now});
    status["conditions"] = json!([scheduled, ready]);
    cx.set_status(&PODS, pod, status)
}
