//! What both kinds of endpoints are made of: pods with an address, grouped by ports.

use crate::controllers::objects::{Key, about, items, key_of, labels_of, text};
use crate::controllers::queue::Queue;
use crate::controllers::selected::Selected;
use crate::controllers::workloads::pods;
use crate::schema::builtin::{PODS, SERVICES};
use crate::server::{Event, LabelSelector, Object};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Notes the Services that an event concerns.
pub(super) fn notice(event: &Event, selected: &mut Selected, queue: &mut Queue<Key>) {
    if about(event, &SERVICES) {
        let key = key_of(event.object());
        let selector = event.new.as_ref().and_then(|service| selector_of(service));
        selected.set_owner(&key, selector);
        queue.add(key);
    } else if about(event, &PODS) {
        let (old, new) = (event.old.as_ref(), event.new.as_ref());
        let shows_the_same = old.and_then(shows) == new.and_then(shows);
        // Who shows the same needs no more than to be known by its labels.
        if !shows_the_same {
            queue.add_all(selected.notice_pod(event));
        } else if old.map(|pod| labels_of(pod)) != new.map(|pod| labels_of(pod)) {
            selected.notice_pod(event);
        }
    }
}

fn selector_of(service: &Value) -> Option<LabelSelector> {
    let selector = service["spec"]["selector"].as_object().filter(|map| !map.is_empty())?;
    let named = text(service, "/spec/type") == "ExternalName";
    (!named).then(|| LabelSelector::from_map(&json!(selector)))
}

/// What of a pod can be seen in endpoints; nothing before it has an address and after it has ended.
fn shows(pod: &Object) -> Option<(bool, bool, &[Box<str>], &Value)> {
    let facts = pod.pod();
    (!facts.addresses.is_empty() && !pods::is_finished(pod))
        .then(|| (facts.ready, facts.terminating, &*facts.addresses, labels_of(pod)))
}

/// The pod's address of one family.
pub(super) fn address<'a>(pod: &'a Object, family: &str) -> Option<&'a str> {
    let mut addresses = pod.pod().addresses.iter().map(|address| &**address);
    addresses.find(|address| address.contains(':') == (family == "IPv6"))
}

/// The families of a Service's addresses.
pub(super) fn families(service: &Value) -> Vec<String> {
    let found: Vec<String> =
        items(service, "/spec/ipFamilies").iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
    if found.is_empty() { vec!["IPv4".to_owned()] } else { found }
}

/// A Service's ports as one pod serves them; those that it doesn't know by name are left out.
fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    let all = items(service, "/spec/ports");
    all.iter()
        .filter_map(|port| {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            let number = match &port["targetPort"] {
                Value::String(name) => named(pod, name, protocol)?,
                Value::Number(number) if number.as_i64() != Some(0) => number.as_i64()?,
                _ => port["port"].as_i64()?,
            };
            let mut shown =
                json!({"name": port["name"].as_str().unwrap_or(""), "port": number, "protocol": protocol});
            if let Some(app) = port.get("appProtocol") {
                shown["appProtocol"] = app.clone();
            }
            Some(shown)
        })
        .collect()
}

fn named(pod: &Value, name: &str, protocol: &str) -> Option<i64> {
    let containers = items(pod, "/spec/containers").iter().chain(items(pod, "/spec/initContainers"));
    let mut all = containers.flat_map(|container| items(container, "/ports"));
    all.find(|port| port["name"] == name && port["protocol"].as_str().unwrap_or("TCP") == protocol)?
        ["containerPort"]
        .as_i64()
}

/// The pods behind a Service with an address of this family, by the ports that they serve.
pub(super) fn by_ports(service: &Value, behind: &[Object], family: &str) -> Vec<(Vec<Value>, Vec<Object>)> {
    let mut behind =
        behind.iter().filter(|pod| !pods::is_finished(pod) && address(pod, family).is_some()).peekable();
    let by_name = items(service, "/spec/ports").iter().any(|port| port["targetPort"].is_string());
    if !by_name {
        // What a port is does not depend on the pod.
        let Some(ports) = behind.peek().map(|pod| ports(service, pod)) else { return Vec::new() };
        return vec![(ports, behind.cloned().collect())];
    }
    let mut groups: BTreeMap<String, (Vec<Value>, Vec<Object>)> = BTreeMap::new();
    for pod in behind {
        let ports = ports(service, pod);
        let group = groups.entry(json!(ports).to_string()).or_insert_with(|| (ports, Vec::new()));
        group.1.push(pod.clone());
    }
    groups.into_values().collect()
}

/// The labels of a Service that its endpoints get too, and those that make them its own.
pub(super) fn labels(service: &Value, own: &[(&str, &str)]) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    if !labels.is_object() {
        labels = json!({});
    }
    if text(service, "/spec/clusterIP") == "None" {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    for (key, value) in own {
        labels[*key] = json!(value);
    }
    labels
}

/// A reference to the pod behind an address.
pub(super) fn target(pod: &Value) -> Value {
    let meta = &pod["metadata"];
    json!({"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]})
}

/// The name a pod has within a headless Service, if it has one there.
pub(super) fn hostname<'a>(service: &Value, pod: &'a Value) -> Option<&'a str> {
    let own = text(pod, "/spec/hostname");
    let here = text(pod, "/spec/subdomain") == text(service, "/metadata/name");
    (here && !own.is_empty()).then_some(own)
}
