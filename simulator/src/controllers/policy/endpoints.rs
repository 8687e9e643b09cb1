//! Endpoints and EndpointSlices: which ready pods are behind a Service.

use crate::controllers::context::Cx;
use crate::controllers::objects::{Key, about, is_terminating, key_of, text, uid_of};
use crate::controllers::queue::Queue;
use crate::controllers::runtime::Controller;
use crate::controllers::workloads::pods;
use crate::schema::builtin::{ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES};
use crate::server::{Event, LabelSelector, Object, Status, Subresource};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The EndpointSlice controller (and the older Endpoints), with the Services of each namespace.
#[derive(Default)]
pub(crate) struct Endpoints {
    services: BTreeMap<String, BTreeMap<String, LabelSelector>>,
}

impl Controller for Endpoints {
    type Key = Key;

    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn notice(&mut self, _: &Cx, event: &Event, queue: &mut Queue<Key>) {
        let (namespace, name) = key_of(event.object());
        if about(event, &SERVICES) {
            let services = self.services.entry(namespace.clone()).or_default();
            match &event.new {
                Some(service) => {
                    services.insert(name.clone(), LabelSelector::from_map(&service["spec"]["selector"]))
                }
                None => services.remove(&name),
            };
            queue.add((namespace, name));
        } else if about(event, &PODS) {
            let same = |a: &Object, b: &Object| facts(a) == facts(b);
            if matches!((&event.old, &event.new), (Some(old), Some(new)) if same(old, new)) {
                return;
            }
            let Some(services) = self.services.get(&namespace) else { return };
            for pod in [&event.old, &event.new].into_iter().flatten() {
                let selecting = services.iter().filter(|(_, s)| s.matches(&pod["metadata"]["labels"]));
                selecting.for_each(|(service, _)| queue.add((namespace.clone(), service.clone())));
            }
        }
    }

    fn sync(&mut self, cx: &Cx, key: &Key, _: &mut Queue<Key>) -> Result<(), Status> {
        let Some(service) = cx.get(&SERVICES, &key.0, &key.1) else { return Ok(()) };
        let selector = LabelSelector::from_map(&service["spec"]["selector"]);
        if service["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty) {
            return Ok(());
        }
        let behind: Vec<Object> = cx
            .direct
            .list(&PODS, Some(&key.0))
            .into_iter()
            .filter(|pod| selector.matches(&pod["metadata"]["labels"]) && !pods::is_finished(pod))
            .filter(|pod| !text(pod, "/status/podIP").is_empty())
            .collect();
        write(cx, &ENDPOINT_SLICES, &slice(&service, &behind))?;
        write(cx, &ENDPOINTS, &endpoints(&service, &behind))
    }
}

/// What of a pod its Services' endpoints show.
fn facts(pod: &Value) -> (bool, bool, &str, &Value) {
    (pods::is_ready(pod), is_terminating(pod), text(pod, "/status/podIP"), &pod["metadata"]["labels"])
}

fn write(cx: &Cx, resource: &crate::schema::Resource, wanted: &Value) -> Result<(), Status> {
    let (namespace, name) = key_of(wanted);
    let written = cx.edit(resource, &namespace, &name, Subresource::None, |object| {
        for field in ["endpoints", "ports", "subsets", "addressType"] {
            if let Some(value) = wanted.get(field) {
                object[field] = value.clone();
            }
        }
    })?;
    match written {
        Some(_) => Ok(()),
        None => cx.direct.create(resource, wanted.clone()).map(|_| ()),
    }
}

fn ports(service: &Value, numbered: bool) -> Vec<Value> {
    let port = |port: &Value| {
        let target = port["targetPort"].as_i64().or_else(|| port["port"].as_i64()).unwrap_or(0);
        let mut shown = json!({"port": target, "protocol": port["protocol"].as_str().unwrap_or("TCP")});
        if let Some(name) = port["name"].as_str().or(numbered.then_some("")) {
            shown["name"] = json!(name);
        }
        shown
    };
    service["spec"]["ports"].as_array().into_iter().flatten().map(port).collect()
}

fn target(pod: &Value) -> Value {
    json!({"kind": "Pod", "namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"], "uid": uid_of(pod)})
}

fn slice(service: &Value, behind: &[Object]) -> Value {
    let (namespace, name) = key_of(service);
    let endpoints: Vec<Value> = behind
        .iter()
        .map(|pod| {
            let (ready, ending) = (pods::is_ready(pod), is_terminating(pod));
            json!({
                "addresses": [text(pod, "/status/podIP")],
                "conditions": {"ready": ready && !ending, "serving": ready, "terminating": ending},
                "nodeName": pods::node_of(pod),
                "targetRef": target(pod),
            })
        })
        .collect();
    let family = if text(service, "/spec/ipFamilies/0") == "IPv6" { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            // One slice a Service: the simulator has no use for the limit of a hundred.
            "name": format!("{name}-slice"), "namespace": namespace,
            "labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [owner(service)],
        },
        "addressType": family, "endpoints": endpoints, "ports": ports(service, true),
    })
}

fn owner(service: &Value) -> Value {
    crate::controllers::objects::controller_reference(&SERVICES, service)
}

fn endpoints(service: &Value, behind: &[Object]) -> Value {
    let (namespace, name) = key_of(service);
    let address = |pod: &&Object| json!({"ip": text(pod, "/status/podIP"), "nodeName": pods::node_of(pod), "targetRef": target(pod)});
    let living = || behind.iter().filter(|pod| !is_terminating(pod));
    let ready: Vec<Value> = living().filter(|pod| pods::is_ready(pod)).map(|p| address(&p)).collect();
    let unready: Vec<Value> = living().filter(|pod| !pods::is_ready(pod)).map(|p| address(&p)).collect();
    let mut subset = json!({"ports": ports(service, false)});
    if !ready.is_empty() {
        subset["addresses"] = Value::Array(ready);
    }
    if !unready.is_empty() {
        subset["notReadyAddresses"] = Value::Array(unready);
    }
    let subsets = if behind.is_empty() { json!([]) } else { json!([subset]) };
    json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": [owner(service)]},
        "subsets": subsets,
    })
}
